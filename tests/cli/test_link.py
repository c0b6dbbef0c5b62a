"""`metalassay link`: what stops, where, since when, what to install; exit codes and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packages_on_disk import install

from metalassay.cli.main import main
from metalassay.linkcheck import checker


@pytest.fixture(autouse=True)
def without_checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "find", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    text = "from accelerate.utils.memory import clear_device_cache\ntry:\n    from accelerate.utils import AORecipeKwargs\nexcept ImportError:\n    pass\n"
    install(tmp_path / "s", "peft", "0.17.1", {"__init__.py": text})
    return install(tmp_path / "s", "accelerate", "0.31.0", {})


def test_what_stops_is_told_with_place_history_and_remedy(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["link", "--env", str(site)]) == 1
    text = capsys.readouterr().out
    for part in (
        "peft 0.17.1: stops importing it",
        "accelerate 0.31.0 has no accelerate.utils.memory.clear_device_cache",
        "at peft/__init__.py:1",
        "works with accelerate 0.32.0 to",
        "pip install 'accelerate==0.32.0'",
        "metalassay[link]",
    ):
        assert part in text
    assert "AORecipeKwargs" not in text
    assert max(map(len, text.splitlines())) <= 110


def test_verbose_shows_what_is_guarded(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--env", str(site), "-v"]) == 1
    assert "AORecipeKwargs" in capsys.readouterr().out


def test_nothing_found_is_not_called_healthy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = install(tmp_path / "s", "accelerate", "1.8.0", {})
    assert main(["link", "--env", str(site)]) == 0
    text = capsys.readouterr().out
    assert "nothing found; only a run proves it" in text
    assert "healthy" not in text.lower()


def test_json_has_everything(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--env", str(site), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["versions"]["peft"] == "0.17.1"
    assert {each["guarded"] for each in data["breaks"]} == {True, False}


def test_against_the_metadata_is_found_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path / "s", "trl", "0.18.1", {})
    site = install(tmp_path / "s", "transformers", "4.49.0", {})
    assert main(["link", "--env", str(site)]) == 1
    assert (
        "trl 0.18.1 requires transformers>=4.50.0, and 4.49.0 is installed"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--package", "flask"], "--package flask: not one of the packages"),
        (["--env", "/no/such/place"], "does not run as a Python interpreter"),
        (["--env", "."], "neither an environment nor a folder"),
    ],
)
def test_bad_input_is_one_line_and_a_next_step(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["link", *arguments]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert message in first
    assert second.startswith("  next: ")
