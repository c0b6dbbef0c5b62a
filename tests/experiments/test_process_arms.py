"""Variables are set before a program starts, in a process that has none other of the guides'."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import torch

from metalassay import minder
from metalassay.claims import experiments
from metalassay.errors import UserError
from metalassay.experiments import process_arms
from metalassay.experiments.process_arms import GUIDE_000, GUIDE_001

CPU = torch.device("cpu")


class Programs:
    """Stands for the programs that are started: it keeps their variables, and each takes a second longer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.variables: list[dict[str, str]] = []
        self.wanted: list[dict[str, Any]] = []
        self.returncode, self.hangs = 0, False
        monkeypatch.setattr(minder, "start", self._start)
        monkeypatch.setattr(minder, "prepare", lambda: None)

    def _start(self, command: list[str], env: dict[str, str], **_: Any) -> Any:
        self.variables.append(env)
        self.wanted.append(json.loads(command[-1]))
        return self

    pid = 1

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def poll(self) -> int:
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        if self.hangs:
            raise subprocess.TimeoutExpired("x", timeout)
        number = len(self.variables)
        printed = {"ready": 0.0, "first": number, "step": 0.02, "cpu": 1.5, "peak": 4e8}
        return json.dumps({**printed, "product": 0.003}), "torch is missing\n"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Replace the programs that are started."""
    return Programs(monkeypatch)


def test_a_program_has_these_variables_and_no_other_of_the_guides(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    monkeypatch.setenv("NUMEXPR_NUM_THREADS", "2")  # of guide 000 alone
    monkeypatch.setenv("UNRELATED", "kept")
    process_arms.program(CPU, {"MALLOC_ARENA_MAX": "4"})
    (environment,) = programs.variables
    present = environment.keys() & (GUIDE_000.keys() | GUIDE_001.keys())
    assert present == {"MALLOC_ARENA_MAX"}
    assert environment["UNRELATED"] == "kept"


def test_a_first_start_has_no_bytecode_and_a_later_one_has_that_of_the_first(
    programs: Programs,
) -> None:
    arm = process_arms.environment(CPU)["guide 000"]()
    figures = arm()
    first, later = (each["PYTHONPYCACHEPREFIX"] for each in programs.variables)
    assert first == later
    arm()
    assert programs.variables[2]["PYTHONPYCACHEPREFIX"] != first
    assert all(each.items() >= GUIDE_000.items() for each in programs.variables)
    assert figures.keys() <= set(experiments.NAMES)


def test_threads_are_limited_in_every_library_before_the_start(programs: Programs) -> None:
    figures = process_arms.threads(CPU)["1 thread"]()()
    (environment,) = programs.variables
    assert environment["VECLIB_MAXIMUM_THREADS"] == environment["OMP_NUM_THREADS"] == "1"
    assert programs.wanted[0]["product"] > 0
    assert figures == {"milliseconds a step": 20.0, "milliseconds a product": 3.0}


def test_one_arm_limits_the_library_of_apple_alone(programs: Programs) -> None:
    process_arms.threads(CPU)["performance cores"]()()
    process_arms.threads(CPU)[process_arms.ONE_VECLIB]()()
    usual, limited = programs.variables
    assert limited["VECLIB_MAXIMUM_THREADS"] == "1"
    del usual["VECLIB_MAXIMUM_THREADS"], limited["VECLIB_MAXIMUM_THREADS"]
    assert usual == limited


def test_the_arms_of_the_warm_up_differ_in_what_comes_before(programs: Programs) -> None:
    for build in process_arms.warm_up(torch.device("mps")).values():
        build()()
    assert [each["before"] for each in programs.wanted] == ["zero", "nothing", "step"]


def test_a_program_that_fails_or_hangs_is_an_error_of_the_user(programs: Programs) -> None:
    programs.returncode = 1
    with pytest.raises(UserError, match="ended with 1: torch is missing"):
        process_arms.program(CPU, {})
    programs.hangs = True
    with pytest.raises(UserError, match="did not end within"):
        process_arms.program(CPU, {})


@pytest.mark.slow  # it starts torch
def test_the_real_program_trains_and_answers() -> None:
    ran = process_arms.program(CPU, {"OMP_NUM_THREADS": "1"}, product=64)
    assert ran["ready"] > ran["first"] > 0
    assert ran["step"] > 0 < ran["product"]
    assert ran["peak"] > 5e7
