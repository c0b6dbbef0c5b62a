"""What is found out about a program's Python before `metalassay run` starts it."""

from __future__ import annotations

import sys

import pytest

from metalassay.diagnosis import before_run
from metalassay.environment import interpreters
from metalassay.errors import UserError


def test_without_a_program_the_patches_are_judged_by_this_python() -> None:
    judged = before_run.patches([])
    assert {each.patch for each in judged} == {
        "accelerate_empty_shard",
        "accelerate_empty_dispatcher",
        "accelerate_empty_epoch",
        "accelerate_n_shard_typo",
    }
    assert judged == before_run.patches([sys.executable, "train.py"])


def test_a_program_that_names_no_python_cannot_be_judged() -> None:
    with pytest.raises(UserError, match="does not say which Python"):
        before_run.patches(["ls"])


def check(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], *, patched: bool = True
) -> None:
    monkeypatch.setattr(interpreters, "versions_of", lambda python: installed)
    before_run.check([sys.executable, "train.py"], patched=patched)


def test_what_can_train_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    check(monkeypatch, {"torch": "2.13.0", "transformers": "4.52.4", "accelerate": "1.8.0"})


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ({}, "has no torch and no library"),
        ({"accelerate": "1.8.0"}, "torch is not installed"),
        (
            {"torch": "2.13.0", "transformers": "4.37.2", "accelerate": "1.15.0"},
            "cannot train",
        ),
    ],
)
def test_what_cannot_train_is_not_started(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        check(monkeypatch, installed)
    assert "metalassay doctor --env" in caught.value.next_step


def test_a_variable_that_stops_torch_stops_it_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalassay.diagnosis.before_run.platform.system", lambda: "Darwin")
    monkeypatch.setenv("PYTORCH_MPS_HIGH_WATERMARK_RATIO", "3.5")
    with pytest.raises(UserError, match="PYTORCH_MPS_HIGH_WATERMARK_RATIO") as caught:
        check(monkeypatch, {"torch": "2.13.0"})
    assert caught.value.next_step == "unset PYTORCH_MPS_HIGH_WATERMARK_RATIO"
