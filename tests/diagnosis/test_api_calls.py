"""Arguments that a release does not take, needs, or counts otherwise."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import api_calls
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context


@pytest.mark.parametrize(
    ("trl", "applies"), [("0.16.0", "yes"), ("0.15.2", "no"), (None, "unknown")]
)
def test_whether_a_release_takes_an_argument_decides(trl: str | None, applies: str) -> None:
    text = "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'"
    [question] = questions(text)
    found = api_calls.unexpected(question, Context.of(text, {"trl": trl} if trl else {}))
    assert found is not None
    assert found.applies == applies
