"""The patches of a run are applied where they are needed; a library that looks different is no error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from child_run import PATCHES, Ended, run

IMPORT = "import accelerate.data_loader as d; print('imported', hasattr(d, 'prepare_data_loader'))"

HEALTHY = """
class DataLoaderShard:
    def __iter__(self): yield 1
class DataLoaderDispatcher:
    def __iter__(self): yield 1
def prepare_data_loader(dataset): return dataset.n_shards
"""


def with_accelerate(folder: Path, source: str, patches: tuple[str, ...] = PATCHES) -> Ended:
    package = folder / "accelerate"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data_loader.py").write_text(source)
    information = folder / "accelerate-99.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: accelerate\nVersion: 99.1\n"
    )
    return run([sys.executable, "-c", IMPORT], path=[folder], patches=patches, guard=False)


def test_a_patch_that_is_not_needed_says_nothing(tmp_path: Path) -> None:
    ended = with_accelerate(tmp_path, HEALTHY)
    assert (ended.out, ended.err) == ("imported True\n", "")
    # Whether this one is needed shows at the end of an epoch, so it is always applied.
    assert [each["patch"] for each in ended.of("patched")] == ["accelerate_empty_epoch"]
    assert ended.of("not patched") == []


def test_a_patch_that_is_needed_is_reported_with_its_bug(tmp_path: Path) -> None:
    ended = with_accelerate(tmp_path, HEALTHY.replace("n_shards", "n_shard"))
    assert {"patch": "accelerate_n_shard_typo", "bug": "accelerate-n-shard-typo"}.items() <= (
        ended.of("patched")[-1].items()
    )


def test_no_patches_are_no_patches(tmp_path: Path) -> None:
    ended = with_accelerate(tmp_path, HEALTHY.replace("n_shards", "n_shard"), ())
    assert ended.of("patched") + ended.of("not patched") == []


@pytest.mark.parametrize(
    ("source", "failing", "why"),
    [
        ("class DataLoaderDispatcher: pass", PATCHES, "cannot import name"),
        (
            HEALTHY.replace(
                "class DataLoaderShard:\n    def __iter__(self): yield 1",
                "class DataLoaderShard: pass",
            ),
            ("accelerate_empty_shard", "accelerate_empty_epoch"),
            "KeyError: '__iter__'",
        ),
        (
            HEALTHY.replace("    def __iter__(self): yield 1", "    __iter__ = None"),
            PATCHES[:3],
            "",
        ),
        (HEALTHY + "prepare_data_loader = 3", PATCHES[3:], "AttributeError: 'int' object"),
    ],
)
def test_a_patch_whose_target_looks_different_is_one_line_and_the_import_succeeds(
    tmp_path: Path, source: str, failing: tuple[str, ...], why: str
) -> None:
    ended = with_accelerate(tmp_path, source)
    assert ended.code == 0
    assert ended.out.startswith("imported")
    assert {each["patch"] for each in ended.of("not patched")} == set(failing) - {
        each["patch"] for each in ended.of("patched")
    }
    lines = ended.err.splitlines()
    assert len(lines) == len(ended.of("not patched")) > 0
    for line, message in zip(lines, ended.of("not patched"), strict=True):
        assert line == f"metalassay: the patch {message['patch']} is not applied; {message['why']}"
        assert message["why"].startswith("accelerate 99.1 does not look as it expects: ")
    assert why in ended.err


def test_a_patch_that_there_is_not_is_reported(tmp_path: Path) -> None:
    ended = with_accelerate(tmp_path, HEALTHY, ("accelerate_unheard_of",))
    assert ended.out == "imported True\n"
    assert [each["patch"] for each in ended.of("not patched")] == ["accelerate_unheard_of"]
