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
    "strided": 7, "not_finite": 0, "elsewhere": [],
    "varied": {"inputs that are not contiguous": 9, "NaN and infinite numbers in the inputs": 1},
    "programs": ["metalassay-ask/difference_gelu.py", "x"],
    "differences": [
        {"operator": "gelu", "number": 7, "what": "off by 0.01 of the largest number", "module": "block.1",
         "place": "model.py:12", "error": 0.01, "allowed": 1e-6},
    ],
    "rows": [{"what": "gradient", "name": "block.0.weight", "wrong": "off by 0.02", "error": 0.02,
              "cpu_error": 1e-7}],
}  # fmt: skip
HAZARD = {"id": "mps-x", "title": "On MPS, gelu is wrong", "link": "https://example.org/1", "operators": ["gelu"],
          "place": "mine.py:3", "inputs": ["strided"], "fix": "upgrade", "where": "torch <3"}  # fmt: skip
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


def test_what_is_wrong_with_inputs_that_the_step_does_not_have_is_told_apart() -> None:
    tanh = {
        **NUMBERS["differences"][0],
        "operator": "tanh",
        "inputs": "inputs that are not contiguous",
    }
    said = plain(
        answers.text("numbers", {**NUMBERS, "differences": [], "elsewhere": [tanh]}, FACTS)
    )
    assert "none differs beyond what rounding explains" in said
    assert (
        "wrong with inputs that are not contiguous, which this step does not have: tanh: off by 0.01"
        in said
    )
    assert "9 with inputs that are not contiguous, 1 with NaN and infinite numbers" in said
    assert "shown by: python" in said
    assert "none differs" in plain(answers.text("numbers", NUMBERS, FACTS))


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


def test_known_hazards_are_named_also_where_nothing_was_run() -> None:
    hazards = {"torch": "2.13.0", "macos": "", "operators": 9, "rows": [HAZARD]}
    said = plain(answers.text("numbers", {"not_here": "no GPU", "hazards": hazards}, FACTS))
    assert (
        "not on this machine: no GPU known hazard of torch 2.13.0 on MPS (some macOS or chip):"
        in said
    )
    assert "On MPS, gelu is wrong (gelu, mine.py:3); mps-x, https://example.org/1 upgrade" in said
    none = {**hazards, "rows": [], "macos": "15.1"}
    said = plain(answers.text("numbers", {**NUMBERS, "hazards": none}, FACTS))
    assert "no known bug of torch 2.13.0 on MPS, macOS 15.1 concerns what the 9 operators" in said
    many = {**hazards, "rows": [HAZARD] * 7}
    assert "and 2 more known hazards" in plain(
        answers.text("numbers", {**NUMBERS, "hazards": many}, FACTS)
    )


def test_inputs_of_all_kinds_are_counted() -> None:
    said = plain(answers.text("numbers", {**NUMBERS, "not_finite": 1200}, FACTS))
    assert "not contiguous in 7 calls, with NaN or infinite numbers in 1,200" in said


def test_where_the_time_goes() -> None:
    moved = {
        "copies": [{"direction": "to the CPU", "place": "mine.py:4", "calls": 1, "bytes": 4},
                   {"direction": "to the device", "place": "", "calls": 12, "bytes": 2_500_000}],
        "fallbacks": [{"operator": "linalg_qr.out", "calls": 2, "lines": ["mine.py:5"], "seconds": 0.2},
                      {"operator": "x", "calls": 1, "lines": [], "seconds": None}],
        "step_seconds": 0.8,
    }  # fmt: skip
    answer = {"not_here": "mps is emulated", "transfers": moved}
    said = plain(answers.text("devices", answer, FACTS))
    assert (
        "in a step, linalg_qr.out runs on the CPU: 2 calls, 25% of that step's time, mine.py:5"
        in said
    )
    assert "x runs on the CPU: 1 call, in the backward pass" in said
    assert "in a step, 1 copy to the CPU (4 B): mine.py:4" in said
    assert "12 copies to the device (2.5 MB): from no line of yours" in said
    nothing = {"copies": [], "fallbacks": [], "step_seconds": 0.8}
    said = plain(answers.text("devices", {**answer, "transfers": nothing}, FACTS))
    assert "a step stays on mps: no operator on the CPU, no copy between the two" in said
    failed = {**answer, "transfers": {"error": "it broke", "next_step": "x"}}
    assert "where the time goes is not answered: it broke" in plain(
        answers.text("devices", failed, FACTS)
    )


def test_a_step_by_the_roofline_model() -> None:
    found = {"batch_size": 8, "flop": 2_100_000_000, "compulsory": 3_000_000, "gflop_s": 120.0, "gb_s": 12.5,
             "timing": {"seconds": 0.07, "first": 1, "rounds": 9}, "achieved_gflop_s": 30.0, "least_seconds": 0.0175,
             "bound": "arithmetic"}  # fmt: skip
    said = plain(answers.text("roofline", found, FACTS))
    assert "a step of batch 8 is 2.1 GFLOP" in said
    assert "moves at least 3 MB" in said
    assert "measured just before and after: 120 GFLOP/s (matrix product), 12.5 GB/s (triad)" in said
    assert (
        "at least 17.5 ms, bound by arithmetic; measured 70 ms, 4 times that: 30 GFLOP/s, 25 % of"
        in said
    )


def test_a_profile_keeps_its_table() -> None:
    row = f"{'aten::mm':34} {'1 ms':>10} {'50.0%':>7} {'3':>8} {'1 KiB':>12}"
    said = answers.text("profile", {"lines": [row, "word " * 30]}, FACTS)
    assert f"  {row}" in said.splitlines()
    assert max(map(len, said.splitlines())) <= answers.WIDTH
    assert "not on this machine: emulated" in answers.text(
        "profile", {"not_here": "emulated"}, FACTS
    )


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
    assert "not told apart (1.10 times the time in pairs, 0.80 to 1.40)" in said
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
             "cached_seconds": 2.5, "layout": None, "unasked": False, "pays_after": None, "graphs": 1, "breaks": [], "loss": 1.0, "eager_loss": 1.0, "same": True}  # fmt: skip
    said = plain(answers.text("compile", found, FACTS))
    assert "slower (1.50 times the time in pairs, 1.20 to 1.90)" in said
    assert (
        "compiling takes 30.00 s, 2.50 s again in the same process from its cache; it was not shown"
        in said
    )
    assert "layout" not in said
    said = plain(answers.text("compile", {**found, "unasked": True}, FACTS))
    assert "without its layout optimization: not tried, since compiling takes so long" in said
    slow = {"compiled": TIMING, "ratio": SLOWER}
    said = plain(answers.text("compile", {**found, "layout": slow}, FACTS))
    assert "without its layout optimization 12.5 ms a step, beside with it: slower (1.50" in said
    assert "TORCHINDUCTOR" not in said
    cured = {"compiled": TIMING, "ratio": {"ratio": 0.25, "low": 0.2, "high": 0.998}}
    said = plain(answers.text("compile", {**found, "layout": cured}, FACTS))
    assert (
        "faster (0.25 times the time in pairs, 0.200 to 0.998); TORCHINDUCTOR_LAYOUT_OPTIMIZATION=0"
        in said
    )
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
