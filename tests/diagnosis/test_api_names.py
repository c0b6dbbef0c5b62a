"""Names that a release has not yet, or no longer."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import api_names
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context


@pytest.mark.parametrize(("accelerate", "applies"), [("0.31.0", "yes"), ("0.34.2", "no")])
def test_a_name_is_missing_before_the_release_that_brought_it(
    accelerate: str, applies: str
) -> None:
    text = "ImportError: cannot import name 'clear_device_cache' from 'accelerate.utils.memory'"
    [question] = questions(text)
    found = api_names.imported(question, Context.of(text, {"accelerate": accelerate}))
    assert found is not None
    assert (found.applies, "0.32.0" in found.note) == (applies, True)
