"""From outcomes to one word."""

from __future__ import annotations

import pytest

from metalassay.bugs import verdict
from metalassay.bugs.verdict import TestRun


def runs(*lines: str) -> list[TestRun]:
    """Read lines such as ``stock affected xfailed`` or ``stock control passed``."""
    words = [line.split() for line in lines]
    return [
        TestRun(upstream, where == "affected", outcome, control=where == "control")
        for upstream, where, outcome in words
    ]


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["stock healthy passed"], "fine"),
        (["stock healthy passed", "patched healthy passed"], "fine"),
        (["stock affected xfailed"], "broken as known"),
        (["stock affected xfailed", "patched affected passed"], "patched"),
        (["stock affected xfailed", "patched affected failed"], "patch fails"),
        (["stock healthy passed", "patched healthy failed"], "patch fails"),
        (["stock affected xpassed"], "fixed upstream?"),
        (["stock affected failed"], "unexplained"),
        (["stock healthy failed"], "unexplained"),
        (["stock affected skipped"], "not tested"),
        (["patched affected passed"], "not tested"),
        # Another symptom, which these versions lack, does not make up for the one that was skipped.
        (["stock affected skipped", "stock healthy passed"], "not tested"),
        ([], "not tested"),
        # A control passes on an affected version too, and takes nothing away from the symptom.
        (["stock affected xfailed", "stock control passed", "patched affected passed"], "patched"),
        # Nor does it stand in for a symptom that was not tested; it speaks when it fails.
        (["stock affected skipped", "stock control passed"], "not tested"),
        (["stock control passed", "patched control passed"], "not tested"),
        (["stock affected xfailed", "stock control failed"], "unexplained"),
        (["stock affected xfailed", "patched control failed"], "patch fails"),
        # One symptom gone is not "broken as known" any more.
        (["stock affected xfailed", "stock affected xpassed"], "fixed upstream?"),
        (["stock affected xfailed", "stock healthy failed"], "unexplained"),
        (["stock healthy skipped", "stock healthy passed"], "fine"),
        # A symptom that does not show every time: not fixed, not fine, and nothing against the others.
        (["stock affected unseen"], "not seen"),
        (["stock affected unseen", "stock healthy passed"], "not seen"),
        (["stock affected unseen", "patched affected passed"], "not seen"),
        (["stock affected unseen", "stock affected xfailed"], "broken as known"),
        (["stock affected unseen", "stock affected skipped"], "not tested"),
        (["stock affected unseen", "stock healthy failed"], "unexplained"),
        (["stock affected refuted"], "not as reported"),
        (["stock affected refuted", "stock healthy passed"], "not as reported"),
        (["stock affected refuted", "stock affected xfailed"], "broken as known"),
        (["stock affected refuted", "stock affected skipped"], "not tested"),
        (["stock affected refuted", "stock affected unseen"], "not seen"),
        (["stock affected refuted", "stock healthy failed"], "unexplained"),
        # The end of the process is the worst of all, wherever it came from.
        (["stock affected xfailed", "patched affected crashed"], "crashed"),
        (["stock healthy failed", "stock healthy crashed"], "crashed"),
        (["stock affected xfailed", "stock control crashed"], "crashed"),
    ],
)
def test_the_worst_word_wins(lines: list[str], word: str) -> None:
    assert verdict.decide(runs(*lines)) == word


def test_every_word_is_explained() -> None:
    assert set(verdict.MEANING) >= verdict.RED
    assert len(verdict.MEANING) == 10
    assert verdict.NOT_SEEN not in verdict.RED
    assert verdict.NOT_AS_REPORTED not in verdict.RED
