"""What a program and its children have had of the CPU, and how short of memory Linux says it is."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cpu_time import burn

from metalassay.supervise.machine_load import CpuClock, linux_pressure


def test_what_the_governor_uses_itself_is_not_for_the_children_to_pay() -> None:
    both, children = CpuClock(), CpuClock(own=False)
    before = both.seconds(), children.seconds()
    burn(0.3)
    assert both.seconds() - before[0] >= 0.3
    assert children.seconds() - before[1] < 0.1


@pytest.mark.slow
def test_children_count_living_and_ended() -> None:
    clock = CpuClock(look=0)
    code = "import time\nwhile time.process_time() < 0.6: pass\nprint(flush=True); input()"
    before = clock.seconds()
    for number in (1, 2):  # the first has ended, and counts, while the second lives
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout
            child.stdout.readline()
            assert clock.seconds() - before >= 0.55 * number
            child.communicate(b"\n")


@pytest.mark.parametrize(
    ("some", "full", "said"),
    [("0.00", "0.00", "normal"), ("12.50", "3.00", "warning"), ("60.00", "10.00", "critical")],
)
def test_linuxs_stall_information_is_read(some: str, full: str, said: str) -> None:
    text = f"some avg10={some} avg60=0 avg300=0 total=9\nfull avg10={full} avg60=0 total=9\n"
    assert linux_pressure(text) == said
    assert linux_pressure("") is None
