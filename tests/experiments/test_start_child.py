"""The program that an arm starts answers with one line of JSON, whatever was computed before."""

from __future__ import annotations

import json
import sys

import pytest

from metalassay.experiments import start_child


@pytest.mark.parametrize("before", ["nothing", "zero", "step"])
def test_it_prints_what_it_measured(
    before: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {"device": "cpu", "emulated": False, "before": before, "batch": 2, "product": 0}
    monkeypatch.setattr(sys, "argv", ["program", json.dumps(wanted)])
    start_child.main()
    printed = json.loads(capsys.readouterr().out)
    assert printed["product"] is None
    assert min(printed["first"], printed["step"], printed["cpu"], printed["peak"]) > 0
