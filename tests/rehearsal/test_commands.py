"""Every command of the command line, as a Mac's user would run it, on a rehearsed Mac.

The times are those of an emulated device and mean nothing; what is tested is what is printed and written.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import rehearsal
import toy_checkout
from rehearsal import Rehearsal

from metalassay.supervise.program_memory import size

CHIP = "Apple M4 (4P+6E CPU, 10-core GPU, 16 GB), macOS 15.5"

DEAD = (
    "RuntimeError: MPS backend out of memory (MPS allocated: 0 bytes, other allocations: 0 bytes, max"
    " allowed: 7.93 GB). Tried to allocate 256 bytes on shared pool."
)


def test_the_doctor_prints_the_machine_and_the_device(m4: Rehearsal) -> None:
    done = m4.metalassay("doctor")
    assert done.returncode in (0, 1)
    assert f"Machine   {CHIP}\n" in done.stdout
    assert "MPS       usable (Apple M4): its results agree with the CPU" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_doctor_warns_of_a_dead_device_and_of_rosetta(tmp_path: Path) -> None:
    if reason := rehearsal.emulator_missing():
        pytest.skip(f"needs the emulated mps: {reason}")
    dead = Rehearsal("vm", tmp_path / "vm").metalassay("doctor").stdout
    assert len(dead.splitlines()) <= 24
    assert "macOS 15.7.9" in dead
    assert "MPS       dead: allocating 256 bytes failed" in dead
    assert "torch offers MPS, but not even 256 bytes can be allocated on it." in dead
    intel = Rehearsal("rosetta", tmp_path / "rosetta").metalassay("doctor", "-v").stdout
    assert "This Python is built for Intel and runs under Rosetta" in intel


FAILS_ONCE = (
    sys.executable,
    "-c",
    "import os, sys; sys.exit('ReadTimeout' if os.environ['METALASSAY_RESTARTS'] == '0' else 0)",
)
HANGS = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, "on Apple silicon"),
        (["ops", "linalg_eig"], 0, "raises NotImplementedError"),
        (["claims", "--guide", "002"], 0, "refuted"),
        (["explain", DEAD], 0, "a virtual machine"),
        (["report", "none.json"], 2, "none.json"),
        (["run", "--max-cpu", "50", "--", sys.executable, "-c", "print(6 * 7)"], 0, "42"),
        (["run", "--background", "--", sys.executable, "-c", "print(6 * 7)"], 0, "42"),
        (["run", "--restart", "1", "--backoff", "0.1", "--", *FAILS_ONCE], 0, "start 2 of 2"),
        (["run", "--stall", "0.02", "--memory-limit", "50%", "--", *HANGS], 75, "it hung"),
        (["run", "--log", "run.log", "-v", "--", sys.executable, "-c", ""], 0, "MPS_FALLBACK=1"),
        (["fix", "--undo"], 2, "next:"),
        (["env", "--shell", "zsh"], 0, "export PYTORCH_ENABLE_MPS_FALLBACK=1"),
        (["env", "--explain", "OMP_NUM_THREADS"], 0, "gives the program one CPU thread"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_without_torch_works(
    bare: Rehearsal, arguments: list[str], code: int, said: str
) -> None:
    done = bare.metalassay(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("which", rehearsal.QUICK)
def test_a_running_program_is_watched_from_outside(which: str, tmp_path: Path) -> None:
    mac = Rehearsal(which, tmp_path, mps=False)
    watch = [
        sys.executable,
        "-m",
        "metalassay",
        "monitor",
        "--every",
        "0.3",
        "--log",
        "watched",
        "--pid",
    ]
    code = (
        "import subprocess, sys\n"
        "program = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])\n"
        f"sys.exit(subprocess.call([*{watch!r}, str(program.pid)]))"
    )
    done = mac.run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    assert "Memory Free: " in done.stdout
    vm_stat = rehearsal.read(which)["vm_stat"]
    pages = int(re.findall(r"occupied by compressor: +([0-9]+)", vm_stat)[0])
    assert f", compressed {size(pages * 16384)}; GPU 42%" in done.stdout
    assert "it ended; watched for " in done.stderr


@pytest.mark.parametrize("which", rehearsal.QUICK)
def test_the_environment_of_a_training_follows_the_mac(which: str, tmp_path: Path) -> None:
    mac = Rehearsal(which, tmp_path, mps=False)
    code = (
        "import json; from metalassay.environment import settings\n"
        "print(json.dumps(settings.environment({'torch': '2.13.0', 'accelerate': '1.8.0'})))"
    )
    added = json.loads(mac.python(code).stdout)
    assert added["OMP_NUM_THREADS"] == str(mac.facts["sysctl"]["hw.perflevel0.physicalcpu"])
    assert float(added["PYTORCH_MPS_LOW_WATERMARK_RATIO"]) > 0
    assert (
        float(added["PYTORCH_MPS_LOW_WATERMARK_RATIO"])
        < float(added["PYTORCH_MPS_HIGH_WATERMARK_RATIO"])
        < 1.5  # of two thirds of the memory
    )
    assert not any(name.startswith("MALLOC_") for name in added)


def test_the_monitor_logs_a_mac_that_does_not_swap(bare: Rehearsal) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(0.6)"]
    done = bare.metalassay("run", "--monitor", "log.jsonl", "--every", "0.2", "--", *program)
    assert done.returncode == 0, done.stderr
    head, *lines = [
        json.loads(line) for line in (bare.folder / "log.jsonl").read_text("utf-8").splitlines()
    ]
    assert CHIP.partition(" (")[0] in json.dumps(head)
    assert lines
    assert all(line.get("swap_bytes", 0) == 0 for line in lines)


def test_a_small_gpt_trains_on_mps_answers_and_is_evaluated(m4: Rehearsal) -> None:
    steps = ["--steps", "2", "--batch-size", "2", "-o", "gpt"]
    # A Mac in use is never below its limit here, where the load is that of this machine.
    limits = ["--background", "--max-cpu", "100", "--max-memory", "100"]
    trained = m4.metalassay("train", "gpt", *steps, *limits)
    assert trained.returncode == 0, trained.stderr
    assert "steps: 2" in trained.stdout
    assert "parameters on mps (Apple M4)" in trained.stderr
    assert m4.metalassay("generate", "gpt", "What is a tide?", "--tokens", "3").returncode == 0
    evaluated = m4.metalassay("evaluate", "gpt", "--samples", "1")
    assert "perplexity:" in evaluated.stdout


@pytest.mark.slow
def test_the_transit_cnn_trains_and_its_log_is_plotted(m4: Rehearsal) -> None:
    small = ["--curves", "1024", "--steps", "2", "--quiet", "-o", "transit"]
    done = m4.metalassay("train", "transit", *small, "--monitor", "monitor.jsonl", "--every", "0.2")
    assert done.returncode == 0, done.stderr
    logs = ["--log", "transit/log.jsonl", "--log", "monitor.jsonl"]
    assert m4.metalassay("report", "transit", "-o", "pages", *logs).returncode == 0


def test_a_benchmark_is_refused_on_the_emulated_device_and_marked_where_it_is_allowed(
    m4pro: Rehearsal,
) -> None:
    suite = ["benchmarks/test_transit_cnn.py", "-k", "train", "--benchmark-max-time=0.02"]
    suite += ["--batch-size=2", "--no-selftest", "--device=mps", "--benchmark-autosave"]
    suite += [f"--benchmark-storage={m4pro.folder}/reports/benchmarks"]
    refused = m4pro.pytest(*suite)
    assert refused.returncode == 4
    assert "this mps is emulated on the CPU" in refused.stdout + refused.stderr
    allowed = m4pro.pytest(*suite, "--allow-emulated")
    assert allowed.returncode == 0, allowed.stdout
    [file] = (m4pro.folder / "reports").rglob("*.json")
    stored = json.loads(file.read_text("utf-8"))
    assert stored["machine_info"]["hardware"]["chip"] == "Apple M4 Pro"
    assert stored["benchmarks"][0]["extra_info"]["emulated"] is True
    reported = m4pro.metalassay("report", "reports", "-o", "pages")
    assert reported.returncode == 0, reported.stderr
    assert "Apple M4 Pro (20-core GPU, 48 GB), rehearsal, macOS" in " ".join(
        reported.stdout.split()
    )
    assert "refused: the device was emulated" in reported.stdout
    sent = m4pro.metalassay("submit", str(file), "-o", "copy.json")
    assert sent.returncode == 0, sent.stderr
    assert str(m4pro.folder) not in (m4pro.folder / "copy.json").read_text("utf-8")


@pytest.mark.alone  # it tests the clock of the machine
@pytest.mark.slow
def test_a_mac_is_measured_on_both_devices_and_the_emulated_one_makes_it_a_rehearsal(
    m4: Rehearsal,
) -> None:
    short = ["--seconds-per-workload", "0.02", "--output", "run"]
    refused = m4.metalassay("bench", *short, "--device", "mps")
    assert refused.returncode == 2
    assert "this mps is emulated on the CPU" in refused.stderr
    assert list((m4.folder / "run").iterdir()) == []
    done = m4.metalassay("bench", *short, "--allow-emulated")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"{CHIP}; power mode ")
    assert "REHEARSAL: " in done.stdout
    [file] = (m4.folder / "run").glob("*.json")
    assert file.name.startswith("metalassay-rehearsal-apple-m4-10gpu-16gb-")
    assert str(m4.folder) not in file.read_text("utf-8")
    checked = m4.metalassay("results", "check", str(file))
    assert checked.returncode == 1
    assert "a rehearsal: mps was emulated, so nothing was measured" in checked.stdout
    # All that a Mac tells of itself is known. pytest-benchmark sees the real machine, and that is noticed.
    about = [line for line in checked.stdout.splitlines() if "hardware" in line]
    assert [line for line in about if ", but machine_info." not in line] == []


@pytest.mark.slow
def test_a_comparison_finds_no_swapping_on_a_mac(
    m4pro: Rehearsal,
) -> None:
    workload = "transit-cnn:train:batch=2,device=cpu"
    done = m4pro.metalassay("compare", workload, workload, "--budget", "4", "--quiet")
    assert done.returncode in (0, 1, 3), done.stderr
    assert "B against A:" in done.stdout
    assert "swapped" not in done.stdout


@pytest.mark.slow
def test_the_selftest_passes_on_the_cpu(m4: Rehearsal) -> None:
    done = m4.metalassay("selftest", "--device", "cpu")
    assert "twice its bandwidth: needs at least 240 GB/s" in done.stdout  # of the M4's table


def test_preflight_records_a_program_that_would_choose_mps(m4: Rehearsal) -> None:
    program = m4.folder / "program.py"
    program.write_text(
        "import torch\n"
        "device = torch.device('mps' if torch.backends.mps.is_available() else 'cpu')\n"
        "torch.nn.Linear(4, 4).to(device)(torch.ones(2, 4, device=device)).sum().backward()\n"
        "torch.linalg.eig(torch.eye(3, device=device))\n"
        "print(device)\n",
        "utf-8",
    )
    done = m4.metalassay("preflight", "--", sys.executable, str(program))
    assert "recorded on the CPU" in done.stdout, done.stderr
    assert "linalg_eig" in done.stdout
    assert done.returncode == 1, done.stderr


def test_an_emulated_mps_is_refused_where_there_is_a_real_one(m4: Rehearsal) -> None:
    program = [sys.executable, "-c", "import torch"]
    done = m4.metalassay("run", "--emulate-mps", "--", *program)
    assert done.returncode == 2
    assert "this Mac has MPS, which the emulation would hide" in done.stderr


@pytest.mark.slow
def test_the_largest_batch_is_searched_and_marked_as_emulated(m4: Rehearsal) -> None:
    search = ["transit-cnn:train:device=mps", "--most", "2", "--quiet", "--save", "found"]
    done = m4.metalassay("max-batch", *search)
    assert done.returncode == 0, done.stderr
    [file] = (m4.folder / "found").rglob("*.json")
    assert json.loads(file.read_text("utf-8"))["emulated"] is True


def test_a_bug_of_mps_runs_in_children_that_have_it(m4: Rehearsal) -> None:
    done = m4.pytest("compat/test_mps_parity.py", "--bug", "mps-maximum-drops-nan")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_a_bug_of_accelerate_runs_in_two_ranks(m4: Rehearsal) -> None:
    done = m4.pytest("compat/test_accelerate_ranks.py", "--bug", "accelerate-empty-shard")
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_dead_device_skips_the_tests_of_mps_with_the_reason(tmp_path: Path) -> None:
    if reason := rehearsal.emulator_missing():
        pytest.skip(f"needs the emulated mps: {reason}")
    suite = ["compat/test_mps_parity.py", "--bug", "mps-maximum-drops-nan"]
    done = Rehearsal("vm", tmp_path).pytest(*suite)
    assert done.returncode == 0, done.stdout
    assert "MPS is not usable here: allocating 256 bytes failed" in done.stdout


@pytest.mark.parametrize("which", rehearsal.QUICK)
def test_nox_runs_a_row_and_offers_the_row_of_mps(which: str, tmp_path: Path) -> None:
    bare = Rehearsal(which, tmp_path / which, mps=False)
    checkout = toy_checkout.make(tmp_path / "checkout", {}, seconds=0)
    python = "{}.{}".format(*sys.version_info)
    row = toy_checkout.ROW.format(id="a", python=f'python = "{python}"', more="")
    rows = (rehearsal.ROOT / "matrix.toml").read_text("utf-8")
    (checkout / "matrix.toml").write_text(rows + row, "utf-8")
    (checkout / "noxfile.py").symlink_to(rehearsal.ROOT / "noxfile.py")
    done = bare.run([sys.executable, "-m", "nox", "-s", "compat(a)"], cwd=checkout, timeout=600)
    assert "green           a" in done.stdout + done.stderr
    record = json.loads((checkout / "reports" / "compat" / "a.json").read_text("utf-8"))
    assert record["hardware"]["chip"] == bare.chip
    assert record["hardware"]["release"] == f"macOS {bare.facts['macos']}"
    assert record["versions"]["macos"] == bare.facts["macos"]
    listed = bare.run([sys.executable, "-m", "nox", "-l"], cwd=rehearsal.ROOT)
    assert "* compat(mps)" in listed.stdout


def test_check_tells_the_truth_on_a_healthy_mac(m4: Rehearsal) -> None:
    # All of them take minutes on the emulator.
    ids = ("accelerate-empty-shard", "mps-lstm-permuted-input", "mps-high-watermark-alone")
    done = m4.metalassay("check", "--json", "--quiet", *(f"--bug={each}" for each in ids))
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert (document["green"], document["red"]) == (True, [])
    assert document["settled"] == {
        "as reported": ["mps-high-watermark-alone"],
        "not as reported": ["mps-lstm-permuted-input"],
    }
    assert document["verdicts"]["versions"]["macos"] == m4.facts["macos"]
