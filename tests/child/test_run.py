"""What a process knows of its run, and how an error of ours is kept from the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from metalassay.child import run as runs
from metalassay.supervise import protocol


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    runs.current.cache_clear()
    yield
    runs.current.cache_clear()


def test_outside_a_run_and_when_it_is_gone_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(protocol.FOLDER_VARIABLE, raising=False)
    assert runs.current() is None
    runs.current.cache_clear()
    monkeypatch.setenv(protocol.FOLDER_VARIABLE, str(tmp_path / "gone"))
    assert runs.current() is None


def test_the_run_has_the_configuration_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(protocol.FOLDER_VARIABLE, str(tmp_path))
    config = protocol.Config(("a",), tick=2.0)
    protocol.write_config(tmp_path, config)
    assert runs.current() == runs.Run(tmp_path, config)


def test_an_error_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.harmless(lambda: 3) == 3
    assert runs.harmless(lambda: 1 // 0) is None
    assert capsys.readouterr().err == (
        "metalassay: an error of metalassay, not of the program: ZeroDivisionError:"
        " integer division or modulo by zero\n"
    )


def test_only_errors_are_kept_back() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.harmless(interrupted)


def test_without_stderr_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    runs.say("unheard")
