"""What of a library an error names."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import api_subject
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context


@pytest.mark.parametrize(
    ("callee", "owner"),
    [("SFTTrainer.__init__", "SFTTrainer"), ("MyOwnTrainer.__init__", None), ("a.b.c", None)],
)
def test_only_what_the_history_knows_is_found(callee: str, owner: str | None) -> None:
    text = f"TypeError: {callee}() got an unexpected keyword argument 'tokenizer'"
    [question] = questions(text)
    subject = api_subject.find(question, Context.of(text, {}))
    assert (subject.owner if subject else None) == owner
