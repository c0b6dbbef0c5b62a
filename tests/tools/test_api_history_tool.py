"""The tool that writes the API history."""

from __future__ import annotations

import gzip
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import api_history as tool
import pytest

from metalassay.errors import UserError


@pytest.fixture
def peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An index with releases of peft, whose only module has the text that a test gives."""
    index: dict[str, str] = {}

    def download(package: str, version: str, folder: Path) -> Path:
        path = folder / f"{package}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("peft/__init__.py", index[version])
        return path

    monkeypatch.setattr(tool, "released", lambda package: list(index))
    monkeypatch.setattr(tool, "download", download)
    monkeypatch.setattr(tool, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()
    return index


def run(tmp_path: Path, *arguments: str) -> int:
    return tool.main(["peft", "--cache", str(tmp_path / "cache"), *arguments])


def data(tmp_path: Path) -> Any:
    return json.loads(gzip.decompress((tmp_path / "data" / "peft.json.gz").read_bytes()))


def test_the_file_has_every_release_in_order(tmp_path: Path, peft: dict[str, str]) -> None:
    peft.update({"0.4.0": "def old(): ...", "0.5.0": "def new(): ..."})
    assert run(tmp_path) == 0
    assert data(tmp_path)["releases"] == ["0.4.0", "0.5.0"]
    assert data(tmp_path)["names"] == {"peft": {"new": [1], "old": [0, 1]}}


def test_check_writes_nothing_and_fails_only_if_something_changed(
    tmp_path: Path, peft: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    peft["0.4.0"] = "def old(): ..."
    assert run(tmp_path) == 0
    assert run(tmp_path, "--check") == 0
    peft["0.5.0"] = "def new(): ..."
    assert run(tmp_path, "--check") == 1
    assert "would change: peft.json.gz" in capsys.readouterr().out
    assert data(tmp_path)["releases"] == ["0.4.0"]


def test_an_unknown_package_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main(["numpy"])
    assert "numpy" in capsys.readouterr().err


def test_releases_come_from_the_index_with_those_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        stdout = "transformers (4.53.0)\nAvailable versions: 4.53.0, 4.51.3, 4.29.2\n"
        stderr = ""

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: Done)
    assert tool.released("transformers") == ["4.46.0", "4.51.3", "4.52.0", "4.53.0", "4.57.0"]


def test_an_index_without_the_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Done:
        stdout = ""
        stderr = "ERROR: No matching distribution"

    monkeypatch.setattr(subprocess, "run", lambda *_, **__: Done)
    with pytest.raises(UserError, match="no release of trl"):
        tool.released("trl")
