"""Processes that an emulated program starts, and what it can do after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, os, subprocess, sys, threading
import torch

def backward(x=None):
    leaf = torch.ones(2, device="mps", requires_grad=True)
    (leaf * 3).sum().backward()
    return leaf.grad.tolist()

def in_fork():
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if backward() == [3.0, 3.0] else 3)
        finally:
            os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def is_emulated(_):
    from metalassay.mps.emulator import current
    return str(current().torch), torch.backends.mps.is_available(), backward()
"""


def run(code: str, **env: str) -> str:
    """Run a script in a process that does not inherit the emulation of these tests; return its output."""
    clean = {name: value for name, value in os.environ.items() if name != "METALASSAY_EMULATED_MPS"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + code], env=clean | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_can_do_the_first_backward_pass() -> None:
    code = """
from metalassay.mps.emulator import emulate_mps
with emulate_mps(quiet=True):
    print(in_fork(), backward(), in_fork())
"""
    # After a backward pass, a fork cannot do one: neither on a Mac.
    assert run(code) == "0 [3.0, 3.0] 4\n"


def test_every_thread_can_do_a_backward_pass_although_one_ran_before() -> None:
    code = """
torch.ones(2, requires_grad=True).sum().backward()
from metalassay.mps.emulator import emulate_mps
with emulate_mps(quiet=True):
    results = [backward()]
    thread = threading.Thread(target=lambda: results.append(backward()))
    thread.start()
    thread.join()
    print(results)
"""
    assert run(code) == "[[3.0, 3.0], [3.0, 3.0]]\n"


@pytest.mark.parametrize("version", ["2.13.0", "2.8.0"])
def test_subprocesses_have_the_device_of_their_parent(version: str) -> None:
    code = f"""
from metalassay.mps.emulator import emulate_mps
before = dict(os.environ)
child = "import torch; from metalassay.mps.emulator import current; "
child += "print(current().torch, torch.ones(1, device='mps').device, flush=True)"
with emulate_mps("{version}", quiet=True):
    subprocess.run([sys.executable, "-c", child], check=True)
assert dict(os.environ) == before
"""
    assert run(code) == f"{version} mps:0\n"


def test_spawned_workers_and_those_of_a_loader_have_the_device(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        SCRIPT
        + """
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        return torch.backends.mps.is_available()

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(is_emulated, [0]))
    for context in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(Data(), num_workers=1, multiprocessing_context=context)
        print([each.item() for each in loader])
"""
    )
    command = [sys.executable, "-m", "metalassay.mps.emulator.run_child", "2.8", "--", str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[('2.8.0', True, [3.0, 3.0])]",
        "[True, True]",
        "[True, True]",
    ]


def test_a_child_may_start_an_emulation_of_its_own_and_has_the_inherited_one_after_it() -> None:
    code = """
from metalassay.mps.emulator import emulate_mps
child = '''
import torch
from metalassay.mps.emulator import current, emulate_mps
print(current().torch)
with emulate_mps("2.5", quiet=True):
    print(current().torch)
print(current().torch, torch.ones(1, device="mps").item(), flush=True)
'''
with emulate_mps("2.8", quiet=True):
    subprocess.run([sys.executable, "-c", child], check=True)
"""
    assert run(code).split() == ["2.8.0", "2.5.1", "2.8.0", "1.0"]


def test_a_malformed_variable_is_one_line_and_the_program_goes_on() -> None:
    startup = Path(__file__).parents[1] / "src/metalassay/child/startup"
    path = os.pathsep.join([str(startup), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print('ran')"],
        env={**os.environ, "METALASSAY_EMULATED_MPS": '{"torch": 1', "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "ran\n")
    (line,) = done.stderr.splitlines()
    assert line.startswith("metalassay: ")
    assert "METALASSAY_EMULATED_MPS" in line
