"""How the probe classifies every answer of a child, and how it starts and kills the child."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import psutil
import pytest

from metalassay.errors import UserError
from metalassay.mps.probe import parent

DATA = Path(__file__).parents[2] / "data" / "probe"
POSIX = pytest.mark.skipif(os.name != "posix", reason="starts a shell script")


def read(name: str) -> parent.Answer:
    """Read the answer in one file."""
    lines = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]
    ended = lines.pop()
    assert ended["stage"] == "process"
    return parent.Answer(tuple(lines), ended["returncode"], ended["seconds"], ended["stderr"])


# file, state, words in the reason, virtual machine?, macOS that its torch needs
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
        "unfinished",
        ["import torch did not finish", "60 s"],
        False,
        "14.0",
    ),
    (
        "import-takes-the-time-constructed",
        "unfinished",
        ["import torch took 58 s of 60 s, which left too little for multiplying two 8 x 8"],
        False,
        "14.0",
    ),
    (
        "translated-intel-constructed",
        "not built",
        ["torch 2.2.2 is built without MPS; this Python is an Intel build under Rosetta"],
        False,
        "12.3",
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
    (
        "wrong-hangs-vm-constructed",
        "wrong",
        ["a convolution did not finish", "virtual"],
        True,
        "14.0",
    ),
    ("wrong-aborts-constructed", "wrong", ["512 x 512", "signal 6 (SIGABRT)"], False, "14.0"),
    ("wrong-pipeline-vm-constructed", "wrong", ["softmax failed: RuntimeError"], True, "14.0"),
    ("wrong-zeros-vm-constructed", "wrong", ["convolution differs", "by 1.0 of"], True, "14.0"),
    ("wrong-trivial-constructed", "wrong", ["8 x 8 matrices differs", "by nan"], None, "14.0"),
    ("usable-constructed", "usable", ["results agree with the CPU"], False, "14.0"),
    (
        "usable-vm-constructed",
        "usable",
        ["results agree with the CPU", "virtual machine"],
        True,
        "14.0",
    ),
    ("usable-below-floor-constructed", "usable", ["macOS 14.7 is older than 15.0"], False, "15.0"),
]


@pytest.mark.parametrize(("name", "state", "words", "virtual", "floor"), CASES)
def test_an_answer_is_classified(
    name: str, state: str, words: list[str], virtual: bool | None, floor: str | None
) -> None:
    probe = parent.classify(read(name))
    assert probe.state == state
    for word in words:
        assert word in probe.reason
    assert "\n" not in probe.reason
    assert (probe.virtual, probe.os_floor) == (virtual, floor)


def test_every_recorded_answer_is_tested_and_every_state_has_one() -> None:
    assert {path.stem for path in DATA.glob("*.jsonl")} == {case[0] for case in CASES}
    assert {case[1] for case in CASES} == set(parent.STATES)


def test_a_macos_that_hides_its_version_from_python_is_known_by_that_of_sysctl() -> None:
    probe = parent.classify(read("translated-intel-constructed"))
    assert (probe.macos, probe.translated) == ("26.1", True)
    lines = tuple(
        {key: value for key, value in line.items() if key != "product"}
        for line in read("translated-intel-constructed").lines
    )
    assert parent.classify(parent.Answer(lines)).macos is None
    assert not parent.classify(read("not-built-intel-constructed")).translated


def test_a_computation_that_hangs_after_a_quick_import_is_wrong_and_not_unfinished() -> None:
    answer = read("import-takes-the-time-constructed")
    lines = tuple({**line, "took": 2.0} if "took" in line else line for line in answer.lines)
    probe = parent.classify(parent.Answer(lines, -9, 60.0))
    assert (probe.state, probe.timed_out) == ("wrong", 60.0)


def test_the_name_of_the_gpu_is_in_the_result() -> None:
    assert parent.classify(read("usable-constructed")).gpu == "Apple M4 Pro"


def test_a_gpu_called_paravirtual_means_a_virtual_machine() -> None:
    answer = read("usable-constructed")
    lines = tuple({**line, "gpu": "Apple Paravirtual device"} for line in answer.lines)
    assert parent.classify(parent.Answer(lines)).virtual is True


def test_mps_that_claims_to_be_available_is_still_examined() -> None:
    answer = read("usable-constructed")
    cut = [line["stage"] for line in answer.lines].index("allocate")
    assert parent.classify(parent.Answer(answer.lines[:cut], -11)).state == "dead"


def test_a_truncated_answer_is_never_usable() -> None:
    lines = read("usable-constructed").lines
    for end in range(len(lines)):
        try:
            assert parent.classify(parent.Answer(lines[:end], -9)).state != "usable"
        except UserError:
            assert "python" not in {line["stage"] for line in lines[:end]}


def fake(folder: Path, script: str) -> str:
    """Write a shell script that stands in for a Python interpreter, and return its path."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


BEGIN_IMPORT = r"""printf '%s\n' '{"stage": "python", "state": "end"}' '{"stage": "import", "state": "begin"}'"""


@POSIX
def test_a_hanging_child_is_killed_with_all_its_children(tmp_path: Path) -> None:
    script = f"{BEGIN_IMPORT}\nsleep 1000 &\necho $! > {tmp_path}/pid\nwait"
    begin = time.monotonic()
    probe = parent.probe(fake(tmp_path, script), timeout=1)
    assert "import torch did not finish: the probe timed out after 1 s" in probe.reason
    assert time.monotonic() - begin < 60
    sleeper = int((tmp_path / "pid").read_text())
    while alive(sleeper) and time.monotonic() - begin < 60:
        time.sleep(0.01)  # a killed process takes a moment to die
    assert not alive(sleeper)


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@POSIX
def test_an_abort_is_reported_with_the_name_of_its_signal(tmp_path: Path) -> None:
    probe = parent.probe(
        fake(tmp_path, f"{BEGIN_IMPORT}\necho 'stoi' >&2\nkill -ABRT $$"), timeout=30
    )
    assert (probe.state, probe.reason) == (
        "no torch",
        "torch cannot be imported: import torch killed the process with signal 6 (SIGABRT): stoi",
    )


@POSIX
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo usage >&2; exit 2", "usage"),
        ('echo \'{"stage": ["python"], "state": "end"}\'; echo [1]; echo {{{', "did not answer"),
        ("head -c 3000000 /dev/zero", "did not answer"),
        ("sleep 100", "did not answer: timed out after 0.5 s"),
    ],
)
def test_a_program_that_is_not_python_is_an_error(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parent.probe(fake(tmp_path, script), timeout=0.5)


@POSIX
def test_other_output_between_the_lines_is_ignored(tmp_path: Path) -> None:
    lines = (DATA / "usable-constructed.jsonl").read_text("utf-8").replace("\n", "\nbanner\n")
    (tmp_path / "answer").write_text(lines)
    assert parent.probe(fake(tmp_path, f"cat {tmp_path}/answer"), timeout=30).state == "usable"


@pytest.mark.parametrize("python", ["missing/python", "."])
def test_a_python_that_cannot_be_started_is_an_error(python: str) -> None:
    with pytest.raises(UserError, match="cannot start"):
        parent.probe(python)
