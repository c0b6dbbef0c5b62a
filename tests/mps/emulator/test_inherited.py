"""How an emulation is handed down to child processes; those themselves are tested in tests_emulated/."""

from __future__ import annotations

import os

import pytest

from metalassay.mps.emulator import inherited

OPTIONS = inherited.Options("2.8", None, 2**30, False)


def test_children_receive_the_options_and_the_environment_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/a", "/b"]))
    monkeypatch.delenv(inherited.VARIABLE, raising=False)
    before = dict(os.environ)
    assert inherited.received() is None
    with inherited.handed_down(OPTIONS):
        assert inherited.received() == OPTIONS
        first, *others = os.environ["PYTHONPATH"].split(os.pathsep)
        assert first.endswith("startup")
        assert others == ["/a", "/b"]
    assert dict(os.environ) == before


def test_what_the_program_sets_itself_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv(inherited.VARIABLE, raising=False)
    with inherited.handed_down(OPTIONS):
        monkeypatch.setenv("PYTHONPATH", "/mine")
    assert os.environ["PYTHONPATH"] == "/mine"
    assert inherited.VARIABLE not in os.environ


@pytest.mark.parametrize("text", ['{"torch": 1', '{"other": 1}', "[]"])
def test_a_malformed_variable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(inherited.VARIABLE, text)
    with pytest.raises(ValueError, match=inherited.VARIABLE):
        inherited.received()
