"""No benchmark on a virtual machine, nor on one that does not say what it is."""

from __future__ import annotations

from dataclasses import replace

import ci_machine
import pytest

from metalassay.machine import hardware


@pytest.mark.parametrize(
    ("virtual", "arguments", "code"),
    [
        (False, [], 0),
        (True, [], 1),
        (None, [], 1),
        (True, ["--allow-virtual"], 0),
        (None, ["--allow-virtual"], 0),
    ],
)
def test_what_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    virtual: bool | None,
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    machine = replace(hardware.probe(gpu_too=False), virtual=virtual)
    monkeypatch.setattr(hardware, "probe", lambda **_: machine)
    assert ci_machine.main(arguments) == code
    assert ("not those of a Mac" in capsys.readouterr().out) == bool(arguments)
