"""A checker's lines: what is new, and what they say is missing."""

from __future__ import annotations

import pytest

from metalassay.linkcheck import difference, judge
from metalassay.linkcheck.checker import Diagnostic

STACK = ("accelerate", "transformers")


def line(message: str, rule: str = "unknown-argument", at: int = 1) -> Diagnostic:
    return Diagnostic("trl/a.py", at, rule, message)


def test_the_same_message_on_another_line_is_not_new() -> None:
    old, new = line("a"), line("b")
    assert difference.new([old], [line("a", at=9), new]) == (new,)


def test_only_rules_that_can_show_a_break_are_relevant() -> None:
    lines = [line("a"), line("b", "invalid-assignment")]
    assert list(difference.relevant("ty", lines)) == lines[:1]


@pytest.mark.parametrize(
    ("message", "what", "version"),
    [
        ("Argument `keep_torch_compile` does not match any known parameter of bound method `Accelerator.unwrap_model`",
         "accelerate.accelerator.Accelerator.unwrap_model(keep_torch_compile)", "1.1.1"),
        ("Argument `dispatch_batches` does not match any known parameter of `Accelerator.__init__`",
         "accelerate.accelerator.Accelerator.__init__(dispatch_batches)", "1.0.0"),
        ("Module `accelerate.utils.memory` has no member `clear_device_cache`",
         "accelerate.utils.memory.clear_device_cache", "0.31.0"),
        ("Cannot resolve imported module `transformers.modeling_layers`",
         "transformers.modeling_layers", "4.40.2"),
        ("Too many positional arguments to bound method `Trainer.log`: expected 2, got 3",
         "transformers.trainer.Trainer.log(2 positional arguments)", "4.46.3"),
    ],
)  # fmt: skip
def test_a_line_says_what_is_missing(message: str, what: str, version: str) -> None:
    found = [
        finding.what
        for use in difference.uses(line(message), "trl.a", STACK)
        for finding in judge.findings(use)
        if finding.broken(version)
    ]
    assert found == [what]


@pytest.mark.parametrize(
    "message",
    [
        "Object of type `object` is not callable",
        "Module `torch` has no member `x`",
        "Argument `x` does not match any known parameter of function `forward`",
    ],
)
def test_other_lines_say_nothing(message: str) -> None:
    assert difference.uses(line(message), "trl.a", STACK) == ()
