"""What is said about an error that nothing explains."""

from __future__ import annotations

import pytest

from metalassay.bugs import tracebacks
from metalassay.diagnosis import program_end, text_facts, unrecognised

SITE = "/home/u/lib/python3.11/site-packages"
ROWS = [
    unrecognised.Row("one", "The first", "DataLoader worker exited with an unexpected signal"),
    unrecognised.Row(
        "two", "The second", "Placeholder storage has not been allocated on MPS device"
    ),
    unrecognised.Row("two", "The second", "Placeholder is missing"),
    unrecognised.Row("three", "The third", "an unexpected keyword argument"),
]


def describe(text: str) -> unrecognised.Recognised:
    cleaned = tracebacks.clean(text)
    log = program_end.read(cleaned)
    facts = text_facts.read(cleaned, log.ended.message if log.ended else cleaned)
    return unrecognised.describe(log, facts, {"accelerate": "1.8.0"}, ROWS)


def traceback(file: str, message: str) -> str:
    return f'Traceback (most recent call last):\n  File "{file}", line 7, in run\n{message}\n'


def test_the_users_own_file_belongs_to_a_forum() -> None:
    known = describe(traceback("/home/u/train.py", "RuntimeError: shapes on 'mps' of float16"))
    assert (known.place, known.own_file) == ("train.py, line 7", True)
    assert (known.device, known.dtype) == ("mps", "float16")
    assert "in your own file" in known.next
    assert "stackoverflow.com" in known.next
    assert "issues" not in known.next


@pytest.mark.parametrize("type_", ["TypeError", "ValueError", "KeyError", "AttributeError"])
def test_a_usage_error_is_never_to_be_reported(type_: str) -> None:
    known = describe(traceback(f"{SITE}/accelerate/state.py", f"{type_}: prepare() takes no x"))
    assert (known.package, known.version, known.function) == ("accelerate", "1.8.0", "prepare")
    assert known.place == "accelerate/state.py, line 7"
    assert "discuss.huggingface.co" in known.next
    assert "report" not in known.next
    assert "issues" not in known.next


@pytest.mark.parametrize(
    "message", ["UnboundLocalError: local variable 'x'", "ValueError: INTERNAL ASSERT FAILED"]
)
def test_a_failure_of_the_library_itself_belongs_to_its_tracker(message: str) -> None:
    known = describe(traceback(f"{SITE}/accelerate/state.py", message))
    assert "newest accelerate" in known.next
    assert "https://github.com/huggingface/accelerate/issues" in known.next


def test_an_unknown_library_and_a_bare_message_are_answered_without_guessing() -> None:
    known = describe(traceback(f"{SITE}/somelib/a.py", "RuntimeError: no"))
    assert (known.package, known.version) == ("somelib", None)
    assert "somelib" in known.next
    assert "paste the whole traceback" in describe("KeyError: 'labels'").next
    assert describe("all is well").exception is None


def test_the_two_most_similar_rows_are_named_with_what_differs() -> None:
    known = describe("RuntimeError: Placeholder storage was allocated on XPU device, unexpected")
    assert [each.id for each in known.similar] == ["two"]
    assert known.similar[0].missing == ("been", "has", "mps", "not")
    assert describe("KeyError: 'labels'").similar == ()
