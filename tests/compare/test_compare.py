"""The result of a comparison: its notes, its JSON, and the options that are refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from metalassay import compare
from metalassay.compare import Comparison
from metalassay.compare.sampling import Plan, Replicate, State
from metalassay.errors import UserError
from metalassay.statistics.decision import Sample
from metalassay.workers.specs import Arm, parse

ARM = Arm("A", parse("transit-cnn"), sys.executable)
THREADED = Arm("B", parse("transit-cnn:train:threads=2"), sys.executable)


def replicate(cpu: float = 1.0, **fields: Any) -> Replicate:
    """Return one ABBA block in which every timing has this share of CPU time."""
    block = tuple(Sample(arm, wall=1.0, cpu=cpu) for arm in "AaBBaA")
    return Replicate(rounds=(block,), **fields)


def notes(state: State, second: Arm = ARM, clock: str = "cpu", interrupted: bool = False) -> str:
    return "\n".join(compare._notes(ARM, second, Plan(clock=clock), state, interrupted=interrupted))


def test_an_ordinary_run_has_no_notes() -> None:
    assert notes(State(replicates=[replicate()])) == ""


@pytest.mark.parametrize(
    ("state", "options", "note"),
    [
        (State(), {"interrupted": True}, "the interval so far decides nothing"),
        (
            State(replicates=[replicate(steady=False), replicate()]),
            {},
            "1 of 2 replicates were not steady after warm-up",
        ),
        (State(replicates=[replicate()]), {"second": THREADED}, "the sum over all threads"),
        (
            State(replicates=[replicate(page_faults=(1.0, 2.0, 60.0))]),
            {},
            "page faults per step varied from 1 to 60 between processes",
        ),
        (
            State(replicates=[replicate(page_faults=(1.0, 2.0, 60.0))]),
            {"second": THREADED},
            "prevents it: transit-cnn:train:batch=4,malloc=tuned transit-cnn:",
        ),
        (State(facts={"B": {"emulated": True}}), {}, "the device was emulated"),
        (State(replicates=[replicate(cpu=0.5)]), {}, "at most 50% of the wall time was CPU time"),
    ],
)
def test_a_doubtful_run_has_a_note(state: State, options: dict[str, Any], note: str) -> None:
    assert note in notes(state, **options)


def test_waiting_is_no_reason_for_a_note_by_wall_time() -> None:
    assert notes(State(replicates=[replicate(cpu=0.1)]), clock="wall") == ""


@pytest.mark.parametrize(
    ("clock", "second", "chosen"),
    [
        ("auto", ARM, "cpu"),
        ("auto", Arm("B", parse("transit-cnn:train:device=mps"), sys.executable), "wall"),
        ("wall", ARM, "wall"),
        ("cpu", ARM, "cpu"),
    ],
)
def test_the_automatic_clock_is_cpu_time_if_both_run_on_the_cpu(
    clock: str, second: Arm, chosen: str
) -> None:
    assert compare._clock(clock, ARM, second) == chosen


def test_the_json_keeps_the_keys_of_its_format() -> None:
    comparison = Comparison(
        *("a", "b", "cpu", "wall", None, None, 0.01),
        replicates=2,
        steps=1,
        seconds=3.0,
        interrupted=False,
        notes=(),
        facts={},
        conditions={},
    )
    document = comparison.as_dict()
    assert (document["schema"], document["verdict"]) == ("metalassay.comparison/1", "inconclusive")
    assert document["trios"] == 2
    assert "replicates" not in document


@pytest.mark.parametrize("options", [{"budget": 0}, {"margin": 1.0}, {"family": 0}, {"rounds": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="out of range"):
        compare.compare("transit-cnn", "transit-cnn", **options)
