"""`metalassay compare`: what its answer means for a script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from metalassay import compare
from metalassay.cli.main import main


@pytest.mark.parametrize(
    ("verdict", "interrupted", "code"),
    [
        ("same", False, 0),
        ("faster", False, 0),
        ("slower", False, 1),
        ("inconclusive", False, 3),
        ("inconclusive", True, 130),
    ],
)
def test_the_exit_code_is_the_verdict(
    verdict: str,
    interrupted: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[dict[str, Any]] = []

    def answer(*_: str, **options: Any) -> SimpleNamespace:
        calls.append(options)
        return SimpleNamespace(
            verdict=verdict,
            interrupted=interrupted,
            unsaved="",
            more=None,
            as_dict=lambda: {"verdict": verdict},
        )

    monkeypatch.setattr(compare, "compare", answer)
    assert main(["compare", "a", "b", "--margin", "2", "--json"]) == code
    assert f'"verdict": "{verdict}"' in capsys.readouterr().out
    assert calls[0]["margin"] == 0.02


def test_quiet_prints_no_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*_: str, **options: Any) -> SimpleNamespace:
        options["progress"](None)
        return SimpleNamespace(
            verdict="same", interrupted=False, unsaved="", more=None, as_dict=dict
        )

    monkeypatch.setattr(compare, "compare", answer)
    assert main(["compare", "a", "b", "--quiet", "--json"]) == 0
    assert capsys.readouterr().err == ""
