"""Which limit a text shows, and the advice for the versions at hand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from metalassay.bugs import limits, tracebacks
from metalassay.diagnosis import limit_answer
from metalassay.diagnosis.answers import Found

EXAMPLES = tomllib.loads(
    (Path(__file__).parents[1] / "data/explain/limits_examples.toml").read_text("utf-8")
)
NUMPY = "RuntimeError: Numpy is not available"


def find(text: str, **installed: str) -> tuple[Found, ...]:
    return limit_answer.find(tracebacks.clean(text), installed)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_each_example_is_answered_in_full(name: str) -> None:
    values = limits.get(name).values
    for text in EXAMPLES[name]["yes"]:
        [answer, *others] = find(text)
        assert answer.id == name, (text, others)
        assert answer.source == "limit"
        assert answer.do
        for part in (answer.title, answer.cause, *answer.do, *answer.not_help):
            assert not set(re.findall(r"\{([a-z_]+)\}", part)) & values
            assert "[[" not in part
            assert "]]" not in part


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_what_looks_alike_is_not_answered_by_it(name: str) -> None:
    for text in EXAMPLES[name]["no"]:
        assert name not in {answer.id for answer in find(text)}


def test_the_last_occurrence_counts_and_its_line_is_quoted() -> None:
    text = f"first: {NUMPY}\nfine again\n[rank1]: {NUMPY}\n"
    [answer] = find(text)
    assert answer.words == f"[rank1]: {NUMPY}"
    assert text[answer.position :].startswith("Numpy is not available\n")


def test_a_string_in_the_source_of_a_traceback_is_no_message() -> None:
    source = '    raise AssertionError("Torch not compiled with CUDA enabled")\n'
    assert find(source) == ()
    [answer] = find(f"{source}AssertionError: Torch not compiled with CUDA enabled")
    assert answer.position > len(source)


def test_what_applies_comes_first_then_what_is_specific_then_what_is_last() -> None:
    generic = "torch\nTypeError: cannot pickle 'generator' object\n  File multiprocessing/x.py"
    assert [each.id for each in find(f"{NUMPY}\n{generic}")] == [
        "numpy-not-available",
        "pickle-local-object",
    ]
    two = find("RuntimeError: invalid low watermark ratio 1.4\n" + NUMPY)
    assert [each.id for each in two] == ["numpy-not-available", "mps-watermark-ratio"]
    old = "RuntimeError: MPS supports tensors with dimensions <= 16, but got 17"
    answers = find(f"{NUMPY}\n{old}", torch="2.13.0", numpy="2.0.0")
    assert [each.applies for each in answers] == ["yes", "no"]


@pytest.mark.parametrize(
    ("text", "installed", "words"),
    [
        (
            "The MPS backend is supported on MacOS 12.3+.",
            {"torch": "2.5.1", "macos": "12.7.6"},
            "torch 2.5 needs macOS 13.0",
        ),
        (
            "The MPS backend is supported on MacOS 13.0+.",
            {"torch": "2.8.0", "macos": "15.1"},
            "macOS is new enough for this torch",
        ),
        ("BFloat16 is not supported on MPS", {"torch": "2.1.2"}, "torch before 2.3"),
        (
            "Trying to convert BFloat16 to the MPS backend",
            {"torch": "2.4.0", "macos": "13.6"},
            "macOS 13 has no bfloat16",
        ),
        ("Conv3D is not supported on MPS", {"torch": "2.1.0"}, "came to MPS with torch 2.3"),
        (
            "User specified an unsupported autocast device_type 'mps'",
            {"torch": "2.2.2", "accelerate": "0.29.3"},
            "accelerate before 0.30 opens an autocast",
        ),
        (
            "User specified an unsupported autocast device_type 'mps'",
            {"torch": "2.8.0"},
            "which torch has since 2.5",
        ),
        ("Numpy is not available", {"torch": "2.6.0", "numpy": "2.1.0"}, "fit each other"),
        ("module 'torch' has no attribute 'mps'", {"torch": "2.0.1"}, "new enough for torch.mps"),
        (
            "ValueError: Your setup doesn't support bf16/gpu.",
            {"transformers": "4.57.0"},
            "no GPU that has it was found",
        ),
    ],
)
def test_the_advice_depends_on_the_versions(
    text: str, installed: dict[str, str], words: str
) -> None:
    [answer] = find(text, **installed)
    assert words in answer.title
    assert answer.applies == "yes"
    assert all(f"{name} {version}" in answer.note for name, version in installed.items())
    [general] = find(text)
    assert words not in general.title


def test_a_message_that_these_versions_do_not_print_is_marked() -> None:
    [answer] = find(
        "ValueError: FP16 Mixed precision training with AMP or APEX (`--fp16`) and FP16 half"
        " precision evaluation (`--fp16_full_eval`) can only be used on CUDA devices.",
        transformers="4.52.4",
    )
    assert answer.applies == "no"
    assert answer.note.startswith("transformers 4.52.4: these versions do not print this")


def test_unknown_versions_are_named() -> None:
    [answer] = find("RuntimeError: Dataset scripts are no longer supported, but found x.py")
    assert answer.applies == "unknown"
    assert answer.note.startswith("datasets not found")
    assert "x.py" in answer.title


def test_a_limit_without_versions_says_so() -> None:
    [answer] = find("RuntimeError: invalid low watermark ratio 1.4", torch="2.8.0")
    assert answer.note == "does not depend on versions"


def test_the_known_bug_answers_where_it_applies() -> None:
    text = "ValueError: bf16 mixed precision requires PyTorch >= 1.10 and a supported device."
    assert find(text, accelerate="0.33.0") == ()
    [answer] = find(text, accelerate="1.12.0")
    assert answer.id == "accelerate-bf16"
    [unreadable] = find(text, accelerate="unreadable")
    assert unreadable.id == "accelerate-bf16"


def test_the_device_in_the_text_decides() -> None:
    [cpu] = find("ValueError: fp16 mixed precision requires a GPU (not 'cpu').", torch="2.8.0")
    assert "on the CPU" in cpu.title
    [mps] = find("ValueError: fp16 mixed precision requires a GPU (not 'mps').")
    assert "on MPS" in mps.title


def test_a_step_that_needs_a_value_that_the_message_lacks_is_left_out() -> None:
    [named] = find(
        "WeightsUnpickler error: Unsupported global: GLOBAL a.B was not an allowed global"
    )
    [unnamed] = find("RuntimeError: Weights only load failed. Re-running torch.load")
    assert "add_safe_globals([a.B])" in " ".join(named.do)
    assert len(unnamed.do) == len(named.do) - 1


def test_nothing_is_found_in_other_texts() -> None:
    assert find("") == ()
    assert find("Traceback (most recent call last):\nKeyError: 'x'") == ()
