"""The command that a CI job asks for the folder to keep."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from metalassay.mps.emulator import build, cache_key


def test_it_prints_the_folder_in_which_the_library_will_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(metadata, "version", lambda _: "2.13.0+cpu")
    assert cache_key.main() == 0
    assert capsys.readouterr().out == f"{build.folder('2.13.0+cpu')}\n"


def test_without_torch_it_is_an_error_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert cache_key.main() == 2
    assert "needs torch" in capsys.readouterr().err
