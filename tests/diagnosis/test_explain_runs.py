"""No pattern scans a long run again and again: an answer to any text comes in the time of a long one.

Each run fills an excerpt. Where a pattern backtracks, one of them takes minutes, so a time-out around
the process is the assertion.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from metalassay import bugs
from metalassay.bugs import limits, matching
from metalassay.diagnosis import explain

PROGRAM = """
import sys
from metalassay.diagnosis import explain
length = int(sys.argv[1])
for unit in eval(sys.stdin.read()):
    explain.explain(unit * (length // len(unit)), {"torch": "2.5.1", "python": "3.11"})
"""
COMMON = [
    " ",
    " \n",
    "a",
    "0",
    ".",
    "'",
    "/",
    "\x1b[",
    "[rank0]: ",
    "Error: ",
    "Traceback (most recent call last):\n",
]
OTHERS = [
    *'\t\n\rA_"`-=()[]{<>\\|│━&,é\N{GRINNING FACE}\x1b\0%#…',
    *(
        "&#",
        "&lt;",
        "&#3",
        "a ",
        "a.",
        "0 ",
        "a(",
        "'a ",
        "ab\n",
        "> ",
        "...",
        "x" * 79 + "\n",
        " " * 79 + "\n",
    ),
    *(
        "\x1b]",
        "│ ",
        "a\\n",
        "Traceback (most recent call last):",
        "Traceback (most recent call last):\\n",
    ),
    *(
        "Error",
        "Error\n",
        "ValueError: ",
        "aError: ",
        "UserWarning: ",
        "raise ",
        'raise E("',
        '"E',
        "E('",
    ),
    *(
        '  File "',
        '  File "a.py", line 1, in f\n',
        "  File ",
        "/a/site-packages/",
        "/a.py:1 in f\n",
        "~/a.py in f(",
    ),
    *("[rank", "[rank0]:\n", "stderr: ", "(pid=1) ", "(pid", "1:02 w | ", "Cell In[1], line 1\n"),
    *(
        "During handling of the above exception, another exception occurred:\n",
        "Exception ignored in",
    ),
    *(
        "MPS ",
        "macOS ",
        "macOS 14.",
        "torch==",
        "torch=",
        "torch 2.",
        "torch 2.5.1\n",
        "ProductVersion: ",
    ),
    *(
        "Successfully installed ",
        "Successfully installed a-1 ",
        "/torch-2.5.1.dist-info",
        "python3.1/",
    ),
    *(
        "sh: ",
        "zsh: ",
        "Signal 9 ",
        "Root Cause (first observed failure):",
        "rank : ",
        "commit hash ",
    ),
    *("import ", "The operator 'aten::", "from 'a.", "a.__init__() got ", "MPSFloatType", "GiB, "),
    *(";", ":", "^", "~", "/", "\\", "*", "+", "?", "!", "@", "$", "\N{EM SPACE}", " \N{EM SPACE}"),
    *(
        "a: ",
        "x=1,",
        "a=",
        "Error: x\n",
        "' '",
        "\x1b[0m",
        "MPS backend out of memory ",
        "Killed\n",
    ),
]
SHORT = [
    *COMMON,
    "\N{EM SPACE}",
    "\t ",
    "a ",
    "'a ",
    "x=1,",
    '  File "x", line 1\n',
    "MPS ",
    "torch==",
    "a.b(",
]


def run(units: list[str], length: int, seconds: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(length)],
        input=ascii(units),
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr


def beginnings() -> list[str]:
    """Return the first words of every pattern of the data."""
    of_bugs = [p for bug in bugs.load() for s in bug.symptoms for p, _ in matching.patterns(s)]
    every = [*of_bugs, *(pattern for limit in limits.load() for pattern in limit.patterns)]
    return sorted({explain.readable(pattern)[:12] for pattern in every if pattern})


def test_a_run_of_one_kind_of_character_is_read_in_time() -> None:
    run(COMMON, 250_000, 90)


def seconds(text: str) -> float:
    """Return the CPU time of an answer, the least of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        explain.explain(text, {"torch": "2.5.1", "python": "3.11"})
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("unit", SHORT)
def test_four_times_the_length_takes_no_eight_times_as_long(unit: str) -> None:
    """A ratio, so that a slow machine changes nothing: what is quadratic takes 16 times as long."""
    short, long = (seconds(unit * (length // len(unit)) + "x") for length in (30_000, 120_000))
    assert long < 8 * max(short, 0.02)


@pytest.mark.slow
def test_runs_of_every_kind_are_read_in_time() -> None:
    run(OTHERS, 250_000, 300)
    run(COMMON, 8_000_000, 200)


@pytest.mark.slow
def test_runs_of_the_beginning_of_every_pattern_are_read_in_time() -> None:
    run(beginnings(), 60_000, 600)
