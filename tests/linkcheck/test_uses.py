"""A use is judged by what it asks, not by where it stands."""

from __future__ import annotations

from metalassay.linkcheck.uses import Use


def test_the_same_call_at_another_place_is_the_same_question() -> None:
    one = Use("call", "accelerate.Accelerator", keywords=("a",), line=1, module="x")
    assert one.question == Use("call", "accelerate.Accelerator", keywords=("a",), line=9).question
    assert one.question != Use("call", "accelerate.Accelerator", keywords=("b",), line=1).question
