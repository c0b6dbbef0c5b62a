"""Random calls of operators: none may end the process, and the tool must see it if one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).parents[1] / "tools"

HEAD = """
import ctypes, sys, time
import emulator_fuzz as fuzz
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the tools."""
    return subprocess.run([sys.executable, *arguments], cwd=TOOLS, capture_output=True, text=True)


def test_no_call_ends_the_process_on_the_emulated_device_alone() -> None:
    done = python("emulator_fuzz.py", "--calls", "400", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  0 only on the emulated device\n" in done.stdout


def test_crashes_and_hangs_are_told_from_errors() -> None:
    code = """
print(fuzz.outcome(lambda: ctypes.string_at(0)), fuzz.outcome(lambda: 1 / 0))
print(fuzz.outcome(lambda: time.sleep(20), 1))
"""
    assert python("-c", HEAD + code).stdout == "SIGSEGV fine\nhang\n"


def test_a_crash_of_the_emulated_device_alone_is_printed_made_smaller_and_an_error() -> None:
    code = """
def perform(call, device):
    if device == "mps" and "Tensor" in call.op:
        ctypes.string_at(0)
fuzz.perform = perform
sys.argv = ["", "--calls", "30", "--only", "^aten::add$"]
sys.exit(fuzz.main())
"""
    done = python("-c", HEAD + code)
    assert done.returncode == 1
    assert "SIGSEGV, call " in done.stdout
    assert "smaller: plain: torch.ops.aten.add.Tensor(T((2,), 'float32', 'plain', DEVICE), " in (
        done.stdout
    )


def test_a_number_and_a_seed_always_give_the_same_call() -> None:
    code = "s = fuzz.operators(); print(*(fuzz.make_call(5, n, s) for n in range(50)), sep='\\n')"
    first, second = python("-c", HEAD + code).stdout, python("-c", HEAD + code).stdout
    assert first == second
    assert len(set(first.splitlines())) == 50


@pytest.mark.parametrize(("keys", "values"), [(0, 0), (1, 0)])
def test_attention_without_heads_of_keys_or_values_is_refused(keys: int, values: int) -> None:
    query, key, value = (torch.ones(1, heads, 3, 1, device="mps") for heads in (2, keys, values))
    with pytest.raises(RuntimeError, match="2 heads of queries, but"):
        torch.ops.aten._scaled_dot_product_attention_math_for_mps(query, key, value)
