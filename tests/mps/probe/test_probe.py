"""What the probe says of every answer that a Mac, or something that is none, can give."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path

import psutil
import pytest

from metalassay.errors import UserError
from metalassay.mps.probe import os_floors, probe

DATA = Path(__file__).parents[2] / "data" / "probe"
POSIX = pytest.mark.skipif(os.name != "posix", reason="starts a shell script")


def read(name: str) -> probe.Answer:
    """Read one file of answers."""
    lines = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
    ended = lines.pop()
    assert ended["stage"] == "process"
    return probe.Answer(tuple(lines), ended["returncode"], ended["seconds"], ended["stderr"])


# file, state, words of the reason, virtual, macOS that its torch needs
CASES = [
    ("no-torch-constructed", "no torch", ["torch is not installed"], False, None),
    (
        "torch-import-raises-constructed",
        "no torch",
        ["ImportError: dlopen", "libomp"],
        False,
        "14.0",
    ),
    ("torch-import-aborts-constructed", "no torch", ["SIGABRT", "stoi: no conv"], False, "13.0"),
    (
        "torch-import-hangs-constructed",
        "no torch",
        ["import torch did not end", "60 s"],
        False,
        "14.0",
    ),
    ("not-built-linux-recorded", "not built", ["torch 2.13.0+cpu is built without"], None, None),
    ("not-built-intel-constructed", "not built", ["torch 2.2.2 is built without"], False, "12.3"),
    (
        "not-advertised-macos-12-constructed",
        "not advertised",
        ["supported on MacOS 12.3+", "macOS 12.7.6 is older than 13.0, which torch 2.5.1 needs"],
        False,
        "13.0",
    ),
    ("not-advertised-sandbox-constructed", "not advertised", ["a sandbox can hide"], False, "14.0"),
    (
        "not-advertised-vm-2-15-constructed",
        "not advertised",
        ["no supported Metal GPU was found", "Metal family Apple7", "this is a virtual machine"],
        True,
        "15.0",
    ),
    ("dead-vm-constructed", "dead", ["256 bytes failed: RuntimeError", "virtual"], True, "12.3"),
    ("wrong-hangs-vm-constructed", "wrong", ["a convolution did not end", "virtual"], True, "14.0"),
    ("wrong-aborts-constructed", "wrong", ["512 x 512", "signal 6 (SIGABRT)"], False, "14.0"),
    ("wrong-pipeline-vm-constructed", "wrong", ["softmax failed: RuntimeError"], True, "14.0"),
    ("wrong-zeros-vm-constructed", "wrong", ["convolution differs", "by 1.0 of"], True, "14.0"),
    ("wrong-trivial-constructed", "wrong", ["8 x 8 matrices differs", "by nan"], None, "14.0"),
    ("usable-constructed", "usable", ["agrees with the CPU"], False, "14.0"),
    ("usable-vm-constructed", "usable", ["agrees with the CPU", "virtual machine"], True, "14.0"),
    ("usable-below-floor-constructed", "usable", ["macOS 14.7 is older than 15.0"], False, "15.0"),
]


@pytest.mark.parametrize(("name", "state", "words", "virtual", "floor"), CASES)
def test_an_answer_is_classified(
    name: str, state: str, words: list[str], virtual: bool | None, floor: str | None
) -> None:
    found = probe.classify(read(name))
    assert found.state == state
    for word in words:
        assert word in found.reason
    assert "\n" not in found.reason
    assert (found.virtual, found.os_floor) == (virtual, floor)


def test_every_answer_on_file_is_tested_and_every_state_has_one() -> None:
    assert {path.stem for path in DATA.glob("*.jsonl")} == {case[0] for case in CASES}
    assert {case[1] for case in CASES} == set(probe.STATES)


def test_the_name_of_the_gpu_is_handed_on() -> None:
    assert probe.classify(read("usable-constructed")).gpu == "Apple M4 Pro"


def test_a_gpu_that_calls_itself_paravirtual_is_virtual_whatever_else_is_said() -> None:
    answer = read("usable-constructed")
    lines = tuple({**line, "gpu": "Apple Paravirtual device"} for line in answer.lines)
    assert probe.classify(probe.Answer(lines)).virtual is True


def test_what_says_that_it_is_available_is_not_believed() -> None:
    answer = read("usable-constructed")
    cut = [line["stage"] for line in answer.lines].index("allocate")
    assert probe.classify(probe.Answer(answer.lines[:cut], -11)).state == "dead"


def test_an_answer_cut_anywhere_is_never_usable() -> None:
    lines = read("usable-constructed").lines
    for end in range(len(lines)):
        try:
            assert probe.classify(probe.Answer(lines[:end], -9)).state != "usable"
        except UserError:
            assert "python" not in {line["stage"] for line in lines[:end]}


@pytest.mark.slow
def test_this_machine_is_asked_for_real_and_no_file_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("print('not torch')")
    (tmp_path / "json.py").write_text("raise SystemExit('not json')")
    monkeypatch.chdir(tmp_path)
    found = probe.probe()
    assert found.state == ("usable" if sys.platform == "darwin" else "not built"), found.reason
    assert found.torch


@pytest.mark.slow
def test_the_work_is_done_and_compared_on_a_device_that_works() -> None:
    answer = probe.ask(sys.executable, 120, "cpu")
    ended = [line["stage"] for line in answer.lines if line["state"] == "end"]
    assert ended[-6:] == ["product", "conv2d", "matmul", "softmax", "backward", "done"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ModuleNotFoundError('no', name='torch')", "torch is not installed"),
        ("raise ModuleNotFoundError('no', name='numpy')", "failed: ModuleNotFoundError: no"),
        ("raise OSError('a library\\nis missing')", "failed: OSError: a library is missing"),
        ("__version__ = '2.13.0'", "torch is incomplete: torch.backends.mps.is_built() failed"),
    ],
)
def test_a_torch_that_cannot_be_imported_tells_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = probe.probe()
    assert found.state == "no torch"
    assert reason in found.reason


def fake(folder: Path, script: str) -> str:
    """Make a program that is no Python, or a bad one."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


SAID = r"""printf '%s\n' '{"stage": "python", "state": "end"}' '{"stage": "import", "state": "begin"}'"""


@POSIX
def test_a_hang_is_ended_with_all_its_children(tmp_path: Path) -> None:
    script = f"{SAID}\nsleep 1000 &\necho $! > {tmp_path}/pid\nwait"
    begin = time.monotonic()
    found = probe.probe(fake(tmp_path, script), timeout=1)
    assert "import torch did not end: 1 s" in found.reason
    assert time.monotonic() - begin < 60
    sleeper = int((tmp_path / "pid").read_text())
    while alive(sleeper) and time.monotonic() - begin < 60:
        time.sleep(0.01)  # a killed process takes a moment to die
    assert not alive(sleeper)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@POSIX
def test_an_abort_is_told_by_the_name_of_its_signal(tmp_path: Path) -> None:
    found = probe.probe(fake(tmp_path, f"{SAID}\necho 'stoi' >&2\nkill -ABRT $$"), timeout=30)
    assert (found.state, found.reason) == (
        "no torch",
        "torch cannot be imported: import torch ended the process by signal 6 (SIGABRT): stoi",
    )


@POSIX
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo usage >&2; exit 2", "usage"),
        ('echo \'{"stage": ["python"], "state": "end"}\'; echo [1]; echo {{{', "gave no answer"),
        ("head -c 3000000 /dev/zero", "gave no answer"),
        ("sleep 100", "within 0.5 s"),
    ],
)
def test_garbage_is_an_error_in_one_line(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        probe.probe(fake(tmp_path, script), timeout=0.5)


@POSIX
def test_what_others_print_in_between_is_passed_over(tmp_path: Path) -> None:
    lines = (DATA / "usable-constructed.jsonl").read_text("utf-8").replace("\n", "\nbanner\n")
    (tmp_path / "said").write_text(lines)
    assert probe.probe(fake(tmp_path, f"cat {tmp_path}/said"), timeout=30).state == "usable"


@pytest.mark.parametrize("python", ["missing/python", "."])
def test_what_cannot_be_started_is_an_error(python: str) -> None:
    with pytest.raises(UserError, match="cannot be started"):
        probe.probe(python)


@pytest.mark.parametrize(
    ("torch", "needs"),
    [
        ("2.0.1", "12.3"),
        ("2.5.1+cpu", "13.0"),
        ("2.6.0", "13.0"),
        ("2.8.0", "13.0"),
        ("2.9.0", "14.0"),
        ("2.14.1", "14.0"),
        ("2.15.0", "15.0"),
        ("2.15.0.dev20261001", "15.0"),
    ],
)
def test_the_oldest_macos_by_torch(torch: str, needs: str) -> None:
    found = os_floors.floor(torch)
    assert found is not None
    assert found.needs == needs


@pytest.mark.parametrize("torch", [None, "", "1.13.1", "nonsense"])
def test_an_unknown_torch_has_no_known_floor(torch: str | None) -> None:
    assert os_floors.floor(torch) is None


def test_each_range_of_torch_stands_once_and_has_a_source() -> None:
    for minor in range(16):
        assert sum(row.torch.contains(f"2.{minor}.0") for row in os_floors.load()) == 1
    assert all(row.source.startswith("https://") for row in os_floors.load())


@pytest.mark.parametrize(
    ("macos", "below"),
    [("14.7.1", True), ("15.0", False), ("26.1", False), (None, False), ("x", False)],
)
def test_older_than_the_floor(macos: str | None, below: bool) -> None:
    assert os_floors.below(macos, os_floors.floor("2.15.0")) is below
