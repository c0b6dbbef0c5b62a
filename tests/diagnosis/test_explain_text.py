"""What of an answer is printed, and in how many lines."""

from __future__ import annotations

import pytest
from explain_examples import EIGHT, FAMOUS

from metalassay import bugs
from metalassay.diagnosis import explain, explain_text


@pytest.mark.parametrize("most", [1, 3])
def test_the_first_answer_is_short(most: int) -> None:
    text = explain_text.as_text(explain.explain(FAMOUS, EIGHT, given=True), most=most)
    first = text.split("\n\n")[0].splitlines()
    assert len(first) <= 13
    assert all(len(line) <= 80 for line in text.splitlines())
    fields = [line[3:12].strip() for line in first[2:] if line[3:12].strip()]
    assert fields == ["do", "why", "found", "here", "sure", "link", "more"]


def test_of_one_message_only_the_certain_answer_is_shown_and_the_others_counted() -> None:
    text = "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'"
    answer = explain.explain(text, {"trl": "0.16.1"}, given=True)
    assert [each.found.source for each in answer.explanations] == ["bug", "api"]
    shown = explain_text.as_text(answer)
    assert "\n2. " not in shown
    assert shown.endswith("1 more fits: --all")
    assert "\n2. " in explain_text.as_text(answer, most=None)


def test_everything_is_shown_on_request_within_the_width() -> None:
    answer = explain.explain(FAMOUS, EIGHT, given=True)
    text = explain_text.as_text(answer, width=60, most=None)
    bug = bugs.get("accelerate-empty-shard")
    flat = " ".join(text.split())
    parts = (bug.title, bug.link, bug.where_text(), "accelerate 1.8.0: affected", FAMOUS, bug.cause)
    for part in (*parts, *bug.not_fixes, *map(str, bug.fixes)):
        assert " ".join(part.split()) in flat
    assert (
        max(len(line) for line in text.splitlines() if "/" not in line and "patches" not in line)
        <= 60
    )
