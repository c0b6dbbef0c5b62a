"""Patches of others to the loop of accelerate's loaders are found in sources and in the installed file."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from metalassay.environment import loader_patches
from metalassay.environment.interpreters import Install

LOSING = """
import accelerate.data_loader

def patch():
    original = accelerate.data_loader.DataLoaderShard.__iter__

    def handing_over(self):
        try:
            return original(self)
        except UnboundLocalError:
            yield from self.dataset

    accelerate.data_loader.DataLoaderShard.__iter__ = handing_over
"""


def written(folder: Path, text: str, name: str = "fix.py") -> Path:
    """Write a source below a folder, and return the folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return folder


def test_a_replacement_that_loses_every_batch_is_found_with_its_line(tmp_path: Path) -> None:
    (found,) = loader_patches.in_folder(written(tmp_path, LOSING, "ops/fix.py"))
    assert (found.path, found.line) == (str(Path("ops", "fix.py")), 13)
    assert (found.method, found.function) == ("DataLoaderShard.__iter__", "handing_over")
    assert found.loses


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LOSING.replace("return original", "yield from original"), id="yields on"),
        pytest.param(
            "def plain(self): return iter(self.dataset)\n"
            "setattr(DataLoaderShard, '__iter__', plain)\n",
            id="no generator",
        ),
        pytest.param(
            "def ending(self):\n    def inner(): return 1\n    yield inner()\n    return None\n"
            "DataLoader.__iter__ = ending\n",
            id="returns None",
        ),
        pytest.param("DataLoaderShard.__iter__ = unknown.function\n", id="of another file"),
    ],
)
def test_a_replacement_that_may_be_right_is_found_as_such(tmp_path: Path, text: str) -> None:
    (found,) = loader_patches.in_folder(written(tmp_path, text))
    assert not found.loses


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("it = DataLoaderShard.__iter__\n", "fix.py", id="read"),
        pytest.param("text = '''DataLoaderShard.__iter__ = f'''\n", "fix.py", id="in a text"),
        pytest.param(
            "class DataLoaderOfOurs:\n    def __iter__(self): ...\n", "a.py", id="defined"
        ),
        pytest.param(LOSING, ".venv/lib/fix.py", id="in a virtual environment"),
        pytest.param(LOSING, "fix.txt", id="no source"),
        pytest.param(LOSING + "def broken(:\n", "fix.py", id="no Python"),
        pytest.param(LOSING + "#" * loader_patches.MOST_BYTES, "fix.py", id="too long"),
    ],
)
def test_nothing_else_is_a_replacement(tmp_path: Path, text: str, name: str) -> None:
    assert loader_patches.in_folder(written(tmp_path, text, name)) == []


def test_a_large_folder_is_not_searched_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        written(tmp_path, LOSING, f"{number}.py")
    assert len(loader_patches.in_folder(tmp_path)) == 3
    monkeypatch.setattr(loader_patches, "MOST_FILES", 2)
    assert len(loader_patches.in_folder(tmp_path)) == 2
    monkeypatch.setattr(loader_patches, "MOST_FOLDERS", 1)
    written(tmp_path, LOSING, "zz/deep.py")
    monkeypatch.setattr(loader_patches, "MOST_FILES", 9)
    assert len(loader_patches.in_folder(tmp_path)) == 3


def installed(folder: Path, text: str = "class DataLoaderShard: ...\n") -> Install:
    """Write accelerate's file with the record of its wheel, and return the install."""
    info = "accelerate-1.8.0.dist-info"
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    written(folder, text, loader_patches.INSTALLED)
    written(folder, f"{loader_patches.INSTALLED},sha256={digest},{len(text)}\n", f"{info}/RECORD")
    return Install("accelerate", "1.8.0", str(folder), "pip", metadata=info)


def test_an_edited_file_differs_from_its_record(tmp_path: Path) -> None:
    install = installed(tmp_path)
    assert loader_patches.edited([install]) is None
    written(tmp_path, "class DataLoaderShard: current_batch = None\n", loader_patches.INSTALLED)
    assert loader_patches.edited([install]) == tmp_path / loader_patches.INSTALLED


def test_without_a_record_nothing_is_said(tmp_path: Path) -> None:
    install = installed(tmp_path)
    assert loader_patches.edited([]) is None
    written(tmp_path, f"{loader_patches.INSTALLED},,\n", "accelerate-1.8.0.dist-info/RECORD")
    assert loader_patches.edited([install]) is None
    (tmp_path / "accelerate-1.8.0.dist-info" / "RECORD").unlink()
    assert loader_patches.edited([install]) is None
