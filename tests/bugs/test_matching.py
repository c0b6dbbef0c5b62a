"""Which known bugs a message, a traceback or a log shows, and their order."""

from __future__ import annotations

import re
import traceback
from typing import Any

import pytest
from explain_examples import CUT, EIGHT, EXAMPLES, FAMOUS, GRPO, found
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay import bugs
from metalassay.bugs import matching, patterns, tracebacks
from metalassay.diagnosis import explain, explain_text

PATTERNS = [
    pytest.param(bug, symptom, pattern, id=f"{bug.id}-{symptom.id}-{number}")
    for bug in bugs.load()
    for symptom in bug.symptoms
    for number, (pattern, _) in enumerate(matching.patterns(symptom))
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_every_example_is_explained_by_its_bug(example: dict[str, Any]) -> None:
    assert found(example["text"], example["versions"])[example["bug"]] == "yes"


@pytest.mark.parametrize(("bug", "symptom", "pattern"), PATTERNS)
def test_every_pattern_has_an_example_in_its_range(
    bug: bugs.Bug, symptom: bugs.Symptom, pattern: str
) -> None:
    """After adding a pattern to bugs/data/, add a text that users see to explain_examples.toml."""
    assert [
        each
        for each in EXAMPLES
        if re.search(pattern, each["text"]) and bug.hits(each["versions"], symptom.id)
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_every_example_has_affected_versions_and_a_source(example: dict[str, Any]) -> None:
    assert bugs.get(example["bug"]).hits(example["versions"])
    assert example["ran"]


def test_the_message_of_this_python_is_recognised() -> None:
    def iterate(batches: list[int]) -> int:
        for each in batches:
            current_batch = each
        return current_batch

    try:
        iterate([])
    except UnboundLocalError as error:
        # Without the traceback: its line is this test's, not accelerate's.
        text = "".join(traceback.format_exception_only(error))
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_a_message_without_its_type_is_enough(example: dict[str, Any]) -> None:
    last = example["text"].strip().splitlines()[-1]
    message = re.sub(r"^(\[rank\d\]: )?[\w.]+(Error|Warning): ", "", last)
    needs_frame = any(
        symptom.generic
        and not symptom.own_words
        and not symptom.about
        and patterns.compiled(pattern).expression.search(message)
        for symptom in bugs.get(example["bug"]).symptoms
        for pattern, _ in matching.patterns(symptom)
    )
    expected = None if needs_frame else "yes"
    assert found(message, example["versions"]).get(example["bug"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"[rank1]: {FAMOUS}",
        f"2025-06-26 10:11:12,345 - ERROR - {FAMOUS}",
        f"ERROR:root:training failed\n{FAMOUS}\r\nsee above\r\n",
        f"\x1b[1;35m{FAMOUS[:17]}\x1b[0m: \x1b[35m{FAMOUS[19:]}\x1b[0m",
        f"| {FAMOUS}",
        f"step 1\rstep 2\r{FAMOUS}",
        FAMOUS.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
        "UnboundLocalError: cannot access local variable 'current_batch' where it is not \nassociated with a value",
        "UnboundLocalError: cannot access local variable \n'current_batch' where it is not associated",
        f'{{"level": "error", "exc": "Traceback (most recent call last):\\n  File \\"a.py\\", line 1\\n{FAMOUS}"}}',
        "failed: UnboundLocalError(\"cannot access local variable 'current_batch' where it is not\")",
        f"{FAMOUS}\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: 'a'",
        f"RuntimeError: worker 0 died: {FAMOUS}",
        f"│ {FAMOUS[:47]} │\n│ {FAMOUS[48:]} │\n╰──────╯",
        FAMOUS[:70] + "…",
        CUT,
        CUT.rstrip("."),
        f"{FAMOUS}\n" * 1000 + "bye\n" * 1000,
    ],
    ids=lambda text: re.sub(r"\W+", "-", text[:50]),
)
def test_a_message_is_recognised_whatever_terminals_and_loggers_add(text: str) -> None:
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


@pytest.mark.parametrize(
    "text",
    [
        f"\x1b]8;id=1;file:///a.py\x1b\\UnboundLocalError\x1b]8;;\x1b\\{FAMOUS[17:]}",
        f"10%|#   |\r20%|##  |\r{FAMOUS}\r\n",
        f"╭── Traceback ──╮\n│ {FAMOUS}    │\n╰──────╯",
        f"Traceback (most recent call last):\\n  File, line 1\\n{FAMOUS}",
    ],
    ids=["link", "progress", "box", "json"],
)
def test_the_message_is_quoted_without_what_terminals_and_loggers_add(text: str) -> None:
    [first] = explain.explain(text, EIGHT).explanations
    assert first.found.words == FAMOUS


SLOW = "a step of my conv net, compiled for MPS, is 9x slower than eager"


def test_a_description_needs_everything_that_it_has_to_be_about_nearby() -> None:
    bug = "torch-compile-mps-channels-last"
    for word in ("conv", "compiled", "MPS"):
        gone = SLOW.replace(word, "")
        assert found(SLOW, {"torch": "2.13.0"}) == {bug: "yes"}
        assert found(gone, {"torch": "2.13.0"}) == {}
        assert found(f"{gone} {'x ' * 900}{word}", {"torch": "2.13.0"}) == {bug: "yes"}
        assert found(f"{gone} {'x ' * 1100}{word}", {"torch": "2.13.0"}) == {}
        assert not explain.explain(gone, {"torch": "2.13.0"}).recognised.similar  # type: ignore[union-attr]
    assert found(SLOW, {"torch": "2.15.0"}) == {}
    answer = explain.explain(SLOW, {"torch": "2.13.0"}, given=True)
    assert "other mistakes cause this message too" in explain_text.as_text(answer, width=200)


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'labels'",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "UnboundLocalError: cannot access local variable 'loss' where it is not associated with a value",
        "UnboundLocalError: local variable 'next_batch' referenced before assignment",
        "UnboundLocalError: cannot access local variable 'c…",
        "TypeError: 'NoneType' object is not…",
        "KeyError: \"local variable 'current_batch'\"",
        "ValueError: Batch size must be positive",
        "AssertionError: an empty loader yielded None",
        "{'train_loss': 0.0312, 'epoch': 3.0}",
        "stopping training at step 5",
        "TypeError: train() got an unexpected keyword argument 'tokenizer'",
        # The text in a source line was not raised.
        '    raise ValueError("Batch does not contain any data")\nKeyError: 1',
        '  531 │   │   raise ValueError("Batch does not contain any data")\nKeyError: 1',
        "...",
        "\x00\x01\x02\ufffd",
        "",
    ],
)
@pytest.mark.parametrize("installed", [{}, EIGHT, GRPO["versions"]], ids=["none", "1.8.0", "grpo"])
def test_other_messages_are_not_explained(text: str, installed: dict[str, str]) -> None:
    assert found(text, installed) == {}


def test_the_bug_of_a_named_class_comes_before_the_crash_that_it_causes() -> None:
    assert list(found(GRPO["text"], GRPO["versions"])) == [
        "grpo-zero-steps",
        "accelerate-empty-shard",
    ]
    assert next(iter(found(f"GRPOTrainer\n{FAMOUS}", GRPO["versions"]))) == "grpo-zero-steps"
    plain = GRPO["text"].replace("GRPOTrainer", "Trainer").replace("grpo", "")
    assert list(found(plain, GRPO["versions"])) == ["accelerate-empty-shard", "grpo-zero-steps"]


def test_a_bug_of_a_package_that_is_neither_installed_nor_named_is_not_offered() -> None:
    assert found(FAMOUS, {"accelerate": "1.8.0"}) == {"accelerate-empty-shard": "yes"}
    assert found(f"GRPO\n{FAMOUS}", {"accelerate": "1.8.0"}) == {
        "accelerate-empty-shard": "yes",
        "grpo-zero-steps": "unknown",
    }


def test_a_symptom_comes_before_seen_patterns_and_installed_packages_before_both() -> None:
    text = "ValueError: args.max_steps must be set to a positive value if dataloader does not have a length, was -1"
    both = {"transformers": "5.23.0", "trl": "1.16.0"}
    assert list(found(text, both)) == [
        "grpo-zero-steps",
        "trainer-drop-last-misleading-max-steps",
    ]
    without = {"transformers": "5.23.0"}
    assert list(found(text, without)) == ["trainer-drop-last-misleading-max-steps"]


def test_the_last_of_two_exceptions_comes_first() -> None:
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


def test_bugs_with_the_same_message_have_a_defined_order() -> None:
    """Ties between hits are broken by the order of the data."""
    for example in EXAMPLES:
        hits = matching.recognise(tracebacks.clean(example["text"]), example["versions"])
        order = [bug.id for bug in bugs.load()]
        keys = [(hit.rank, order.index(hit.bug.id)) for hit in hits]
        assert keys == sorted(keys)


WORDS = st.sampled_from(
    [each["text"] for each in EXAMPLES]
    + [str(pattern.values[2]) for pattern in PATTERNS]
    + ["\x1b[0m", "│", "Error: ", "...", "…", "'", "\r", "\n", "raise ValueError('", "\ud800"]
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(WORDS, st.text(max_size=30)), max_size=8).map("".join),
    st.sampled_from([{}, EIGHT, GRPO["versions"]]),
)
def test_every_text_gets_an_answer_that_can_be_printed(
    text: str, installed: dict[str, str]
) -> None:
    answer = explain.explain(text, installed)
    explain_text.as_text(answer, most=None).encode("utf-8")
    ids = [each.found.id for each in answer.explanations]
    assert len(ids) == len(set(ids))
