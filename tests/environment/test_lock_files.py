"""Lock files of four tools are read, and files that are none are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.environment import lock_files
from metalassay.errors import UserError

UV = """
version = 1

[[package]]
name = "accelerate"
version = "1.9.0"
source = { registry = "x" }
dependencies = [
    { name = "torch", version = "2.8.0", source = { registry = "x" } },
]

[[package]]
name = "torch"
version = "2.8.0"

[[package]]
name = "torch"
version = "2.8.0+cpu"
"""
POETRY = """
[[package]]
name = "huggingface_hub"
version = "1.0.0"
description = "x"
"""
PIPFILE = (
    """{"default": {"accelerate": {"version": "==1.9.0"}, "mine": {"path": "."}}, "develop": {}}"""
)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("uv.lock", UV, {"accelerate": ("1.9.0",), "torch": ("2.8.0", "2.8.0+cpu")}),
        ("poetry.lock", POETRY, {"huggingface-hub": ("1.0.0",)}),
        ("pdm.lock", POETRY, {"huggingface-hub": ("1.0.0",)}),
        ("Pipfile.lock", PIPFILE, {"accelerate": ("1.9.0",)}),
    ],
)
def test_the_versions_of_a_lock_file(
    tmp_path: Path, name: str, text: str, found: dict[str, tuple[str, ...]]
) -> None:
    (tmp_path / name).write_text(text.replace("\n", "\r\n") if name == "pdm.lock" else text)
    assert lock_files.versions(tmp_path / name) == found
    assert lock_files.pinned(tmp_path / name, ["accelerate"]).keys() == found.keys() & {
        "accelerate"
    }


@pytest.mark.parametrize("name", ["uv.lock", "Pipfile.lock"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00\x01", b"{", b"[]", b'{"default": 3}', b"[" * 100_000]
)
def test_what_is_no_lock_file_is_named_and_pins_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        lock_files.versions(path)
    assert lock_files.pinned(path, ["torch"]) == {}


def test_a_folder_a_missing_file_and_no_file_pin_nothing(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").mkdir()
    for path in (tmp_path / "uv.lock", tmp_path / "poetry.lock", tmp_path / "pixi.lock", None):
        assert lock_files.pinned(path, ["torch"]) == {}
    with pytest.raises(UserError, match=r"cannot read .*uv\.lock: Is a directory"):
        lock_files.versions(tmp_path / "uv.lock")
