"""What an answer says: which of several bugs comes first, whether it applies here, and its fixes."""

from __future__ import annotations

from explain_examples import CUT, EIGHT, EXAMPLES, FAMOUS, GRPO, found

from metalassay import bugs
from metalassay.bugs import matching, tracebacks
from metalassay.diagnosis import explain


def test_where_grpo_is_named_its_bug_comes_before_the_crash_it_leads_to() -> None:
    assert list(found(GRPO["text"], GRPO["versions"])) == [
        "grpo-zero-steps",
        "accelerate-empty-shard",
    ]
    assert next(iter(found(f"GRPOTrainer\n{FAMOUS}", GRPO["versions"]))) == "grpo-zero-steps"
    plain = GRPO["text"].replace("GRPOTrainer", "Trainer").replace("grpo", "")
    assert list(found(plain, GRPO["versions"])) == ["accelerate-empty-shard", "grpo-zero-steps"]


def test_a_bug_of_what_is_neither_installed_nor_named_is_not_offered() -> None:
    assert found(FAMOUS, {"accelerate": "1.8.0"}) == {"accelerate-empty-shard": "yes"}
    assert found(f"GRPO\n{FAMOUS}", {"accelerate": "1.8.0"}) == {
        "accelerate-empty-shard": "yes",
        "grpo-zero-steps": "unknown",
    }


def test_a_symptom_goes_before_other_words_and_the_installed_before_both() -> None:
    text = "ValueError: args.max_steps must be set to a positive value if dataloader does not have a length, was -1"
    both = {"transformers": "5.23.0", "trl": "1.16.0"}
    assert list(found(text, both)) == [
        "grpo-zero-steps",
        "trainer-drop-last-misleading-max-steps",
    ]
    without = {"transformers": "5.23.0"}
    assert list(found(text, without)) == ["trainer-drop-last-misleading-max-steps"]


def test_the_last_of_two_exceptions_goes_first() -> None:
    one, two = (
        "ValueError: Batch does not contain any data (`None`).",
        "AttributeError: 'IterableDataset' object has no attribute 'n_shard'",
    )
    ids = ["accelerate-empty-dispatcher", "accelerate-n-shard-typo"]
    assert list(found(f"{two}\n\nDuring handling:\n\n{one}", EIGHT)) == ids
    assert list(found(f"{one}\n\nDuring handling:\n\n{two}", EIGHT)) == ids[::-1]
    assert list(found(f"{one}\n{two}\n{one}", EIGHT)) == ids
    source = "    raise TypeError('no')\n"
    answer = explain.explain(f"{one}\n\nDuring handling:\n\n{source}{two}", EIGHT)
    assert answer.exceptions == (two, one)


def test_bugs_that_say_the_same_stand_in_a_stated_order() -> None:
    """Hits of one text never tie, but for the order of the data."""
    for example in EXAMPLES:
        hits = matching.recognise(tracebacks.clean(example["text"]), example["versions"])
        order = [bug.id for bug in bugs.load()]
        keys = [(hit.rank, order.index(hit.bug.id)) for hit in hits]
        assert keys == sorted(keys)


def test_versions_that_are_not_affected_are_told_apart_from_unknown_ones() -> None:
    [healthy, *_] = explain.explain(FAMOUS, {"accelerate": "1.15.0"}).explanations
    assert healthy.applies == "no"
    assert "accelerate 1.15.0: not affected by this; the text comes from another" in healthy.note
    [unknown, *_] = explain.explain(FAMOUS, {"torch": "2.13.0"}).explanations
    assert healthy.fixes == tuple(map(str, bugs.get("accelerate-empty-shard").fixes))
    assert unknown.applies == "unknown"
    assert unknown.note.startswith("accelerate not found, so it is unknown")


def test_a_bug_that_would_show_otherwise_here_says_so() -> None:
    here = {"accelerate": "1.15.0", "trl": "1.16.0"}
    assert found(FAMOUS, here) == {"grpo-zero-steps": "otherwise", "accelerate-empty-shard": "no"}


def test_everyday_words_are_said_to_have_other_causes_and_need_affected_versions() -> None:
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


def test_words_that_are_cut_off_are_said_to_be() -> None:
    assert "the text is cut off there" in explain.as_text(explain.explain(CUT, EIGHT))
    assert "cut off" not in explain.as_text(explain.explain(FAMOUS, EIGHT))


def test_a_fix_that_is_installed_comes_last_and_what_is_none_is_kept_apart() -> None:
    text = "TypeError: Can only concatenate tensors but got <class 'str'>"
    [first] = explain.explain(f"[rank0]: {text}", {"accelerate": "1.15.0"}).explanations
    assert first.fixes[0].startswith("with several processes: ")
    assert first.fixes[-1].endswith("'accelerate>=1.13.0' [installed already]")
    [first] = explain.explain(text, {"accelerate": "1.8.0"}).explanations
    assert first.fixes[0] == "with one process: pip install 'accelerate>=1.13.0'"
    [first] = explain.explain(FAMOUS, EIGHT).explanations
    assert not any("1.1.1" in fix for fix in first.fixes)
    assert any("1.1.1" in fix for fix in first.not_fixes)


def test_the_text_for_people_holds_all_and_keeps_to_the_width() -> None:
    answer = explain.explain(FAMOUS, EIGHT)
    text = explain.as_text(answer, width=60)
    bug = bugs.get("accelerate-empty-shard")
    flat = " ".join(text.split())
    for part in (bug.title, bug.link, bug.where_text(), "accelerate 1.8.0: affected", FAMOUS):
        assert part in flat
    assert " ".join(bug.cause.split()) in flat
    assert "fixes 1. upgrade" in flat
    assert max(len(line) for line in text.splitlines()[2:] if "patches" not in line) <= 60
