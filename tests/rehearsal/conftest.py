"""The Macs of the rehearsals: two of them in every run, the others where slow tests run."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import rehearsal
from rehearsal import Rehearsal, Seen

if sys.platform != "linux":
    collect_ignore_glob = ["*"]  # a Mac needs no rehearsal, and psutil is Linux's in it


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give ``mac`` every Mac, one after the other, so that its runs are shared."""
    if "name" in metafunc.fixturenames:
        slow = [pytest.mark.slow]
        macs = [
            pytest.param(name, marks=[] if name in rehearsal.QUICK else slow, id=name)
            for name in rehearsal.NAMES
        ]
        metafunc.parametrize("name", macs, scope="session")


@pytest.fixture(scope="session")
def mac(name: str, tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return a Mac; its runs share one folder."""
    return Rehearsal(name, tmp_path_factory.mktemp(name))


@pytest.fixture(scope="session")
def m4(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return the M4 with the emulated mps, or skip the test with the reason why there is none."""
    return _with_mps("m4", tmp_path_factory)


@pytest.fixture(scope="session")
def m4pro(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return the M4 Pro with the emulated mps, or skip the test with the reason why there is none."""
    return _with_mps("m4pro", tmp_path_factory)


def _with_mps(name: str, factory: pytest.TempPathFactory) -> Rehearsal:
    if reason := rehearsal.emulator_missing():
        pytest.skip(f"needs the emulated mps: {reason}")
    return Rehearsal(name, factory.mktemp(f"{name}-commands"))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Return the M4 for runs that need no torch."""
    return Rehearsal("m4", tmp_path_factory.mktemp("bare"), mps=False)


_LOOK = """
import dataclasses, json, subprocess, sys, time
from metalassay.machine import conditions, hardware
from metalassay.supervise import machine_load
clock = machine_load.CpuClock(look_every=0.05)
before, out = conditions.observe(), machine_load.memory().swapped_out
# A child that starts two of its own, one after the other: each works, ends and is reaped by its parent.
work = "import time\\nwhile time.process_time() < 0.5: pass"
parent = f"import subprocess, sys\\nfor _ in (1, 2): subprocess.run([sys.executable, '-IS', '-c', {work!r}])"
began = clock.seconds()
child = subprocess.Popen([sys.executable, "-IS", "-c", parent])
burnt = 0.0
while child.poll() is None:
    burnt = clock.seconds() - began
    time.sleep(0.05)
after = conditions.observe()
print(json.dumps({
    "described": hardware.describe(hardware.probe()),
    "before": before.as_dict(),
    "flags": list(conditions.flags(before, after, 1.0)),
    "swapped_out": [out, machine_load.memory().swapped_out],
    "burnt": burnt,
}))
"""


@pytest.fixture(scope="session")
def seen(mac: Rehearsal) -> Seen:
    """Look at the Mac once with our own code."""
    done = mac.python(_LOOK)
    assert done.returncode == 0, done.stderr
    return Seen(**json.loads(done.stdout))


@pytest.fixture(scope="session")
def doctor(mac: Rehearsal) -> dict[str, Any]:
    """Run the doctor once on each Mac, with the probe; return its JSON."""
    if mac.facts["mps"]["state"] != "absent" and (reason := rehearsal.emulator_missing()):
        pytest.skip(f"needs the emulated mps: {reason}")
    done = mac.metalassay("doctor", "--json")
    assert done.returncode in (0, 1), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
