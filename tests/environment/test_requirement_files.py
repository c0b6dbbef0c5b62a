"""What a requirements.txt, a pyproject.toml or a lock file asks for, and what is none of these."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalassay.environment import requirement_files
from metalassay.environment.requirement_files import Wanted
from metalassay.errors import UserError


def read(folder: Path, text: str | Mapping[str, str], name: str = "requirements.txt") -> Wanted:
    """Write files and read the one of that name."""
    for file, content in ({name: text} if isinstance(text, str) else text).items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    return requirement_files.read(folder / name)


def test_requirements_are_read_without_comments_options_and_hashes(tmp_path: Path) -> None:
    text = """
    # a comment
    --index-url https://user:password@example.org/simple
    accelerate==1.8.0  # why
    torch >= 2.5 ; sys_platform == "darwin"
    transformers[torch] \\
        >= 4.52 --hash=sha256:0123 \\
        --hash=sha256:4567
    trl
    """
    assert read(tmp_path, text).requirements == (
        "accelerate==1.8.0", 'torch>=2.5; sys_platform == "darwin"', "transformers[torch]>=4.52",
        "trl",
    )  # fmt: skip


def test_included_files_are_read_once_and_constraints_count(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r more/base.txt\ntrl\n--constraint=bounds.txt\n",
        "more/base.txt": "-r../requirements.txt\n--requirement 'last.txt'\naccelerate\n",
        "more/last.txt": "peft",
        "bounds.txt": "torch<2.9\n",
    }
    files["more/base.txt"] = files["more/base.txt"].replace("-r../", "-r ../")
    assert read(tmp_path, files).requirements == ("peft", "accelerate", "trl", "torch<2.9")


def test_what_no_index_has_is_left_out_and_an_address_is_not_shown(tmp_path: Path) -> None:
    text = """
    trl
    hivemind @ git+https://github.com/learning-at-home/hivemind@1.11.11
    git+https://me:secret@example.org/code/reasoning-gym.git
    git+https://example.org/x#egg=named
    -e .
    ./wheels/mine-1.0-py3-none-any.whl
    """
    wanted = read(tmp_path, text)
    assert wanted.requirements == ("trl",)
    assert wanted.left_out[:3] == ("hivemind", "reasoning-gym.git", "named")
    assert len(wanted.left_out) == 5
    assert "secret" not in str(wanted)


def test_the_dependencies_of_a_project(tmp_path: Path) -> None:
    text = """
    [project]
    dependencies = ["trl==0.16.1", "transformers>=4.46", "mine @ file:///x"]
    [project.optional-dependencies]
    gpu = ["vllm"]
    """
    wanted = read(tmp_path, text, "pyproject.toml")
    assert wanted == Wanted(("trl==0.16.1", "transformers>=4.46"), {}, ("mine",))


@pytest.mark.parametrize(
    ("poetry", "specifier"),
    [
        ('"^1.8.0"', "<2,>=1.8.0"),
        ('"^0.16"', "<0.17,>=0.16"),
        ('"^0.0.3"', "<0.0.4,>=0.0.3"),
        ('"^0"', "<1,>=0"),
        ('"~1.8.2"', "<1.9,>=1.8.2"),
        ('"~1"', "<2,>=1"),
        ('"~=1.8.0"', "~=1.8.0"),
        ('">=1.8,<1.10"', "<1.10,>=1.8"),
        ('">=1.8 <1.10"', "<1.10,>=1.8"),
        ('"1.8.0"', "==1.8.0"),
        ('"1.8.*"', "==1.8.*"),
        ('"*"', ""),
        ('{ version = "^1.8", extras = ["sagemaker"] }', "<2,>=1.8"),
    ],
)
def test_poetrys_way_to_write_versions(tmp_path: Path, poetry: str, specifier: str) -> None:
    text = f"[tool.poetry.dependencies]\npython = '^3.11'\naccelerate = {poetry}\n"
    assert read(tmp_path, text, "pyproject.toml").requirements == (f"accelerate{specifier}",)


def test_optional_packages_of_poetry_are_no_part_and_repositories_are_left_out(
    tmp_path: Path,
) -> None:
    text = """
    [tool.poetry.dependencies]
    trl = "*"
    vllm = { version = "*", optional = true }
    mine = { git = "https://example.org/mine.git" }
    """
    wanted = read(tmp_path, text, "pyproject.toml")
    assert (wanted.requirements, wanted.left_out) == (("trl",), ("mine",))


def test_a_lock_file_has_versions_the_newest_of_several(tmp_path: Path) -> None:
    rows = [("torch", "2.8.0"), ("torch", "2.10.0"), ("Accelerate", "1.8.0"), ("odd", "x")]
    text = "".join(f'[[package]]\nname = "{name}"\nversion = "{v}"\n\n' for name, v in rows)
    wanted = read(tmp_path, text, "uv.lock")
    assert wanted.versions == {"torch": "2.10.0", "accelerate": "1.8.0", "odd": "x"}
    assert wanted.requirements == ()


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml", "uv.lock"])
@pytest.mark.parametrize(
    "content", [b"", b"# nothing\n", b"\xff\xfe\x00a", b"\x00" * 10, b"\x7fELF\x00"]
)
def test_empty_and_binary_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        requirement_files.read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "name", "fault"),
    [
        ("trl\naccelerate=1.8.0", "requirements.txt", r"requirements.txt:2: 'accelerate=1.8.0' is"),
        ("[project\n", "pyproject.toml", "is not TOML"),
        ("[project]\ndependencies = 3\n", "pyproject.toml", "no requirement is in it"),
        ("[project]\ndependencies = ['a b']\n", "pyproject.toml", "'a b' is no requirement"),
        ("-r missing.txt\n", "requirements.txt", r"cannot read .*missing\.txt"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_place(
    tmp_path: Path, text: str, name: str, fault: str
) -> None:
    with pytest.raises(UserError, match=fault):
        read(tmp_path, text, name)


def test_a_folder_says_which_file_in_it_to_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder") as caught:
        requirement_files.read(tmp_path)
    assert caught.value.next_step.startswith("name a requirements.txt")
    (tmp_path / "uv.lock").write_text("")
    with pytest.raises(UserError, match="is a folder") as caught:
        requirement_files.read(tmp_path)
    assert caught.value.next_step == f"name a file in it: {tmp_path / 'uv.lock'}"


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_way(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.mktemp("x")
    for name in ("requirements.txt", "pyproject.toml"):
        (folder / name).write_text(text, "utf-8", errors="replace")
        try:
            assert requirement_files.read(folder / name).requirements
        except UserError:
            continue
