"""The answers in words: what is wrong first, what was not run never as fine, no line over 80 columns."""

from __future__ import annotations

from typing import Any

import pytest

from metalassay.ask import answers

FACTS: dict[str, Any] = {
    "devices": {"cpu": "", "mps": "", "cuda": "torch finds no CUDA GPU"},
    "emulated": {"mps": False},
    "device": "mps",
    "parameters": 1234,
    "stand_in": True,
    "torch": "2.13.0",
    "threads": 4,
}
NUMBERS: dict[str, Any] = {
    "device": "mps", "emulated": False, "compared": 12, "calls": 40, "random": False, "loss": 1.5, "cpu_loss": 1.25,
    "skipped": {"aten::rand": "it draws random numbers", "aten::empty": "its result is uninitialised"},
    "programs": ["metalassay-ask/difference_gelu.py", "x"],
    "differences": [
        {"operator": "gelu", "number": 7, "what": "off by 0.01 of the largest number", "module": "block.1",
         "place": "model.py:12", "error": 0.01, "allowed": 1e-6},
    ],
    "rows": [{"what": "gradient", "name": "block.0.weight", "wrong": "off by 0.02", "error": 0.02,
              "cpu_error": 1e-7}],
}  # fmt: skip
TIMING = {"seconds": 0.0125, "first": 1.0, "rounds": 20}
SLOWER = {"ratio": 1.5, "low": 1.2, "high": 1.9}
EVEN = {"ratio": 1.1, "low": 0.8, "high": 1.4}


def plain(text: str) -> str:
    assert max(map(len, text.splitlines())) <= answers.WIDTH
    return " ".join(text.split())


def test_a_wrong_operator_comes_with_its_place_and_a_program() -> None:
    said = plain(answers.text("numbers", NUMBERS, FACTS))
    assert "WRONG: gelu (call 7, in block.1, model.py:12): off by 0.01" in said
    assert "shown by: python metalassay-ask/difference_gelu.py" in said
    assert "gradient block.0.weight: off by 0.02" in said
    assert "not compared: rand (it draws random numbers)" in said


def test_nothing_wrong_says_how_closely() -> None:
    fine = {**NUMBERS, "differences": [], "programs": [], "skipped": {}, "emulated": True,
            "rows": [{"what": "loss", "name": "", "wrong": "", "error": 3e-7, "cpu_error": 2e-7},
                     {"what": "gradient", "name": "0.bias", "wrong": "", "error": 8e8, "cpu_error": 7e8}]}  # fmt: skip
    said = plain(answers.text("numbers", fine, FACTS))
    assert "none differs beyond what rounding explains" in said
    assert "agree with float64 on the CPU to 3e-07" in said
    assert "1 of 2 are nothing but rounding, on the CPU too" in said
    assert "mps (emulated)" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"not_here": "no GPU"}, "not on this machine: no GPU"),
        ({"error": "it broke", "next_step": "do that"}, "not answered: it broke next: do that"),
    ],
)
def test_what_was_not_run_is_not_fine(answer: dict[str, str], words: str) -> None:
    assert words in plain(answers.text("numbers", answer, FACTS))


def test_devices_with_and_without_a_crossover() -> None:
    rows = [
        {"batch_size": 1, "timings": {"cpu": TIMING, "mps": TIMING}, "failed": {}, "ratio": EVEN},
        {
            "batch_size": 64,
            "timings": {"cpu": TIMING},
            "failed": {"mps": "out of memory"},
            "ratio": None,
        },
    ]
    said = plain(answers.text("devices", {"rows": rows, "crossover": None}, FACTS))
    assert "not told apart (1.10 times the time, 0.80 to 1.40)" in said
    assert "mps failed: out of memory" in said
    assert "mps is not faster at the largest of these batches" in said
    assert "faster from a batch of 4 on" in plain(
        answers.text("devices", {"rows": [], "crossover": 4}, FACTS)
    )
    alone = {**FACTS, "device": "cpu", "devices": {"cpu": "", "mps": "built without Metal"}}
    said = plain(answers.text("devices", {"rows": [], "crossover": None}, alone))
    assert "only the CPU is on this machine (mps: built without Metal)" in said


def test_a_batch_that_the_time_or_a_limit_ended() -> None:
    tries = [
        {"batch": 64, "fits": True, "peak_rss": 2**30, "driver_seen": None, "why": ""},
        {
            "batch": 128,
            "fits": False,
            "peak_rss": None,
            "driver_seen": None,
            "why": "out of memory",
        },
    ]
    found = {"tries": tries, "largest": 64, "limit": 128, "stopped": False}
    said = plain(answers.text("batch", found, FACTS))
    assert "64 on mps; 128 does not fit" in said
    assert "1,024 MiB" in said
    assert "at least 64 on mps; the time was up" in plain(
        answers.text("batch", {**found, "stopped": True}, FACTS)
    )
    assert "--most stopped" in plain(answers.text("batch", {**found, "limit": None}, FACTS))


def test_compiling_that_does_not_pay_or_is_wrong() -> None:
    found = {"why": "", "eager": TIMING, "compiled": TIMING, "ratio": SLOWER, "compile_seconds": 30.0,
             "pays_after": None, "graphs": 1, "breaks": [], "loss": 1.0, "eager_loss": 1.0, "same": True}  # fmt: skip
    said = plain(answers.text("compile", found, FACTS))
    assert "slower (1.50 times the time, 1.20 to 1.90)" in said
    assert "not shown to pay" in said
    assert "the same loss" in said
    assert "WRONG: another loss" in plain(answers.text("compile", {**found, "same": False}, FACTS))
    assert "does not compile here: no compiler" in plain(
        answers.text("compile", {"why": "no compiler"}, FACTS)
    )


def test_precision_says_what_is_not_here() -> None:
    rows = [
        {"dtype": "float32", "why": "", "timing": TIMING, "ratio": None, "kept": 2**20, "loss_error": 1e-8,
         "gradient_error": 2e-7},
        {"dtype": "bfloat16", "why": "no autocast"},
    ]  # fmt: skip
    said = plain(answers.text("precision", {"rows": rows}, FACTS))
    assert "float32 12.5 ms a step; kept for the backward pass 1.0 MiB; off by 1e-08 (loss)" in said
    assert "bfloat16 not here: no autocast" in said
    emulated = {**FACTS, "emulated": {"mps": True}}
    assert " ms" not in plain(answers.text("precision", {"rows": rows}, emulated))
    assert "the model's own is trained on, or a stand-in" in plain(answers.about(FACTS, "my.py", 8))
