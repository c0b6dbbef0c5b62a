"""What an explanation contains: whether it applies here, what it explains, and what to do."""

from __future__ import annotations

import pytest
from explain_examples import EIGHT, FAMOUS, found

from metalassay import bugs
from metalassay.diagnosis import explain, explain_text
from metalassay.diagnosis.answers import Found

FRAME = (
    '  File "/home/u/lib/python3.11/site-packages/accelerate/data_loader.py", line 7, in inner\n'
)


def bugs_in(text: str, installed: dict[str, str]) -> list[Found]:
    """Return what the known bugs answer, in order."""
    answer = explain.explain(text, installed, given=True)
    return [each.found for each in answer.explanations if each.found.source == "bug"]


def test_versions_that_are_not_affected_differ_from_unknown_ones() -> None:
    [healthy, *_] = bugs_in(FAMOUS, {"accelerate": "1.15.0"})
    assert healthy.applies == "no"
    assert "accelerate 1.15.0: not affected by this (accelerate >=0.11.0,<1.9.0)" in healthy.note
    [unknown, *_] = bugs_in(FAMOUS, {"torch": "2.13.0"})
    assert healthy.do == tuple(map(str, bugs.get("accelerate-empty-shard").fixes))
    assert unknown.applies == "unknown"
    assert unknown.note.startswith("accelerate not found, so it is unknown")


def test_what_does_not_apply_comes_last_and_explains_nothing() -> None:
    versions = {"accelerate": "1.15.0", "trl": "0.1", "transformers": "4.0"}
    answer = explain.explain(FAMOUS, versions, given=True)
    assert [each.found.applies for each in answer.explanations] == ["no", "no"]
    assert not answer.explained
    text = explain_text.as_text(answer)
    assert text.startswith("not explained: UnboundLocalError: ")
    assert text.index("known in other versions, not in these:") < text.index("1. ")


def test_a_generic_message_needs_a_frame_of_the_package_and_affected_versions() -> None:
    text = "TypeError: 'NoneType' object is not subscriptable"
    assert found(text, EIGHT) == {}
    answer = explain.explain(FRAME + text, EIGHT, given=True)
    assert answer.explanations[0].found.generic
    assert "other mistakes cause this message too" in explain_text.as_text(answer, width=200)
    other = FRAME.replace("accelerate", "sklearn") + text
    assert found(other, EIGHT) == {}
    assert found(FRAME + text, {"accelerate": "1.15.0"}) == {}


def test_the_same_words_without_the_librarys_frame_are_named_as_similar() -> None:
    text = "RuntimeError: view size is not compatible with input tensor's size and stride"
    answer = explain.explain(text, {"torch": "2.5.1"}, given=True)
    assert not answer.explained
    assert answer.recognised is not None
    assert "mps-batch-norm-channels-last" in [each.id for each in answer.recognised.similar]
    assert "only if the traceback has a line of that library" in explain_text.as_text(
        answer, width=200
    )


TYPO = "AttributeError: 'IterableDataset' object has no attribute 'n_shard'"


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        (
            f"{FAMOUS}\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: 1",
            ["context"],
        ),
        (f"{FAMOUS}\nthe log goes on\nKeyError: 1", ["earlier"]),
        (
            f"{FAMOUS}\n\nThe above exception was the direct cause of the following exception:\n\nValueError: x",
            ["cause"],
        ),
        (f"KeyError: 1\n{FAMOUS}", ["ended"]),
        (f"[rank0]: KeyError: 1\n[rank1]: {FAMOUS}", ["rank"]),
        (f"[rank1]: {FAMOUS}\n[rank0]: KeyError: 1", ["ended"]),
        (f"torch warns: UserWarning: {FAMOUS[19:]}\nKeyError: 1", ["warning"]),
        (f"{TYPO}\n{FAMOUS}", ["ended", "earlier"]),
        (FAMOUS[19:], ["ended"]),
    ],
)
def test_the_exception_that_ended_the_program_decides(text: str, roles: list[str]) -> None:
    answer = explain.explain(text, EIGHT, given=True)
    bug = [each for each in answer.explanations if each.found.source == "bug"]
    assert [each.role for each in bug] == roles
    assert answer.explained is (roles[0] in ("ended", "cause"))
    if not answer.explained:
        assert explain_text.as_text(answer).startswith("not explained: KeyError: 1")
        assert "not what ended" in explain_text.as_text(answer, width=200) or roles == ["rank"]


def test_versions_in_the_text_win_over_what_is_installed_here_and_that_is_said() -> None:
    text = f"- `Accelerate` version: 1.15.0\n{FAMOUS}"
    answer = explain.explain(text, EIGHT)
    assert answer.versions == {"accelerate": "1.15.0"}
    assert answer.notes == (
        "the text comes from an environment with accelerate 1.15.0, not from this one (accelerate "
        "1.8.0): what is installed here is left aside",
    )
    assert not answer.explained
    answer = explain.explain(text, EIGHT, given=True)
    assert answer.versions == EIGHT
    assert answer.notes == ("the text says accelerate 1.15.0; 1.8.0 was given and is used",)
    assert explain_text.as_text(answer, 100).endswith(f"versions: {answer.notes[0]}")


@pytest.mark.parametrize("width", [40, 60, 77, 83, 96])
@pytest.mark.parametrize("prefix", ["", "[rank0]: "])
def test_a_message_broken_anywhere_is_recognised(width: int, prefix: str) -> None:
    whole = FAMOUS if not prefix else FAMOUS[:60] + FAMOUS[60:]
    lines = [whole[at : at + width] for at in range(0, len(whole), width)]
    text = "\n".join(prefix + line for line in lines)
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


def test_a_variable_of_the_users_own_function_is_no_bug_of_a_library() -> None:
    error = "UnboundLocalError: cannot access local variable 'current_batch' where it is not associated with a value"
    own = f"""Traceback (most recent call last):
  File "/home/me/t.py", line 21, in train
    print(current_batch)
{error}
"""
    assert not explain.explain(own, {}).explanations
    cut = f"""  File "/home/me/t.py", line 21, in train
    trainer.train()
{error}
"""
    assert explain.explain(cut, {}).explained


def test_the_summary_of_pytest_is_not_the_end() -> None:
    text = """tests/test_a.py:4: in test_a
    x.to("mps")
E   TypeError: Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.
=========================== short test summary info ============================
FAILED tests/test_a.py::test_a - TypeError: Cannot convert a MPS Tensor to fl...
"""
    answer = explain.explain(text, {})
    assert answer.explained
    assert answer.explanations[0].found.id == "mps-float64"


def test_what_was_logged_before_ctrl_c_did_not_end_the_program() -> None:
    text = """RuntimeError: MPS backend out of memory; trying again with half the batch
Traceback (most recent call last):
  File "/home/me/t.py", line 3, in <module>
    train()
KeyboardInterrupt
"""
    answer = explain.explain(text, {})
    assert answer.ended == "KeyboardInterrupt"
    assert not answer.explained
    assert answer.recognised is not None
    assert answer.recognised.next.startswith("Ctrl+C")


def test_a_message_that_begins_on_the_next_line_is_read() -> None:
    answer = explain.explain("ImportError: \nA requires the B library but it was not found.\n", {})
    assert answer.ended == "ImportError: A requires the B library but it was not found."


def test_an_argument_that_the_installed_release_takes_is_no_bug_of_another_argument() -> None:
    text = "TypeError: Trainer.__init__() got an unexpected keyword argument 'tokenizer'"
    answer = explain.explain(text, {"transformers": "4.57.1"}, given=True)
    assert not answer.explained
    assert {each.found.applies for each in answer.explanations} == {"no"}
