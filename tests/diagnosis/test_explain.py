"""What an explanation contains: whether the bug applies here, and its fixes."""

from __future__ import annotations

from explain_examples import CUT, EIGHT, FAMOUS, found

from metalassay import bugs
from metalassay.diagnosis import explain


def test_versions_that_are_not_affected_differ_from_unknown_ones() -> None:
    [healthy, *_] = explain.explain(FAMOUS, {"accelerate": "1.15.0"}).explanations
    assert healthy.applies == "no"
    assert "accelerate 1.15.0: not affected by this; the text comes from another" in healthy.note
    [unknown, *_] = explain.explain(FAMOUS, {"torch": "2.13.0"}).explanations
    assert healthy.fixes == tuple(map(str, bugs.get("accelerate-empty-shard").fixes))
    assert unknown.applies == "unknown"
    assert unknown.note.startswith("accelerate not found, so it is unknown")


def test_a_bug_with_another_message_in_the_installed_versions_is_marked() -> None:
    here = {"accelerate": "1.15.0", "trl": "1.16.0"}
    assert found(FAMOUS, here) == {"grpo-zero-steps": "otherwise", "accelerate-empty-shard": "no"}


def test_a_generic_message_is_marked_and_needs_affected_versions() -> None:
    text = "TypeError: 'NoneType' object is not subscriptable"
    answer = explain.explain(text, EIGHT)
    assert answer.explanations[0].evidence.generic
    assert "other mistakes cause this message too" in explain.as_text(answer)
    assert found(text, {"accelerate": "1.15.0"}) == {}
    full, certain = (
        "RuntimeError: MPS backend out of memory",
        "ValueError: Batch does not contain any data",
    )
    assert list(found(f"{certain}\n{full}", EIGHT)) == [
        "accelerate-empty-dispatcher",
        "accelerate-mps-oom-not-recognised",
    ]


def test_a_message_that_is_cut_off_is_marked() -> None:
    assert "the text is cut off there" in explain.as_text(explain.explain(CUT, EIGHT))
    assert "cut off" not in explain.as_text(explain.explain(FAMOUS, EIGHT))


def test_an_installed_fix_comes_last_and_what_does_not_help_is_separate() -> None:
    text = "TypeError: Can only concatenate tensors but got <class 'str'>"
    [first] = explain.explain(f"[rank0]: {text}", {"accelerate": "1.15.0"}).explanations
    assert first.fixes[0].startswith("with several processes: ")
    assert first.fixes[-1].endswith("'accelerate>=1.13.0' [installed already]")
    [first] = explain.explain(text, {"accelerate": "1.8.0"}).explanations
    assert first.fixes[0] == "with one process: pip install 'accelerate>=1.13.0'"
    [first] = explain.explain(FAMOUS, EIGHT).explanations
    assert not any("1.1.1" in fix for fix in first.fixes)
    assert any("1.1.1" in fix for fix in first.not_fixes)


def test_the_text_contains_everything_within_the_width() -> None:
    answer = explain.explain(FAMOUS, EIGHT)
    text = explain.as_text(answer, width=60)
    bug = bugs.get("accelerate-empty-shard")
    flat = " ".join(text.split())
    for part in (bug.title, bug.link, bug.where_text(), "accelerate 1.8.0: affected", FAMOUS):
        assert part in flat
    assert " ".join(bug.cause.split()) in flat
    assert "fixes 1. upgrade" in flat
    assert max(len(line) for line in text.splitlines()[2:] if "patches" not in line) <= 60
