"""The programs that the guides speak of, executed from clones of their public repositories.

Nothing of them is copied here. Each test skips without its clone; to run them::

    git clone https://github.com/cklxx/mini-llm FOLDER/mini-llm
    git clone https://github.com/gensyn-ai/rl-swarm FOLDER/rl-swarm
    git -C FOLDER/rl-swarm fetch origin c2927b5aac6d0879d4e107fa18f4a9d02ee0be8b
    METALASSAY_GUIDE_PROGRAMS=FOLDER python -m pytest tests/claims/test_guide_programs.py

The commands that only a Mac has (sysctl, top, brew and others) are replaced by small scripts.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

FOLDER = os.environ.get("METALASSAY_GUIDE_PROGRAMS", "")
RL_SWARM = ("rl-swarm", "c2927b5aac6d0879d4e107fa18f4a9d02ee0be8b")
FIRST = ("mini-llm", "7ca777526af984242f773256fe62216205499bd5")
SECOND = ("mini-llm", "09c1e4fc9fe451b4525df2234f3a07693214581b")
LATER = ("503aa18a44ef2fa88b42998f05cdcd1f295f07e5", "189348890e0ed83f5e2b086150d82b7e1854578e")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER, reason="no clones: METALASSAY_GUIDE_PROGRAMS is not set"),
    pytest.mark.skipif(os.name != "posix", reason="the programs' scripts need bash"),
]


def git(name: str, *arguments: str) -> bytes:
    """Return what git prints in the clone of that name, or skip the test if there is none."""
    clone = Path(FOLDER, name)
    if not clone.is_dir():
        pytest.skip(f"{clone} is not there")
    command = [str(shutil.which("git")), *arguments]
    return subprocess.run(command, cwd=clone, capture_output=True, check=True).stdout


def extract(program: tuple[str, str], folder: Path, *paths: str) -> Path:
    """Write these paths of a commit below ``folder``, and return it."""
    archive = git(program[0], "archive", program[1], *paths)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def python(
    folder: Path, *arguments: str, path: str = "", limit: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run this Python in ``folder``, on one thread; PYTHONPATH is ``path``."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )


def needs(*packages: str) -> None:
    if missing := [each for each in packages if importlib.util.find_spec(each) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")


# RL-Swarm

BATCHES_AND_STEPS = """
import json, sys, tempfile
import fix_mac_accelerate
fix_mac_accelerate.patch_accelerate_dataloader()
import accelerate, torch
from torch.utils.data import DataLoader
loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(list(range(16)), batch_size=4))
batches = sum(1 for _ in loader)
from metalassay.testing import tiny_trainer
trainer = tiny_trainer.trainer(tempfile.mkdtemp(), tiny_trainer.Rows(16), max_steps=3)
result = trainer.train()
print(json.dumps([batches, result.global_step]))
"""


def test_the_run_time_patch_empties_every_loader_and_the_trainer_takes_no_step(
    tmp_path: Path,
) -> None:
    needs("accelerate", "torch", "transformers")
    fixes = extract(RL_SWARM, tmp_path, "ops/fixes") / "ops" / "fixes"
    sources = str(Path(__file__).parents[2] / "src")
    done = python(fixes, "-c", BATCHES_AND_STEPS, path=f"{fixes}:{sources}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, 0]


SHIMS = {
    "sysctl": 'case "$2" in hw.memsize) echo 17179869184;; hw.ncpu) echo 10;; *) echo 4;; esac',
    "sw_vers": "echo 15.5",
    "uname": "echo arm64",
    "xcode-select": "exit 0",
    "brew": "exit 0",
    "top": "echo 'CPU usage: 12.50% user, 8.33% sys, 79.16% idle'",
    "memory_pressure": "echo 'System-wide memory free percentage: 61%'",
    # A second of the launcher is nothing here, and half a minute of its monitor a tenth of a second.
    "sleep": 'echo "$1" >> "$RECORD/sleeps"; [ "$1" = 30 ] && exec "$SLEEP" 0.1; exit 0',
    "uv": 'if [ "$1" = run ]; then while [ "$1" != python ]; do shift; done; shift; exec "$PYTHON" "$@"; fi',
    # The training: says what it got, and fails.
    "python": 'env > "$RECORD/environment"; echo "$@" > "$RECORD/training"; echo trained; exit 1',
}


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the launcher until its training has failed and a second has passed; return what was seen."""
    tmp_path = tmp_path_factory.mktemp("launched")
    bash = shutil.which("bash")
    assert bash is not None
    root, record, shims = tmp_path / "root", tmp_path / "record", tmp_path / "shims"
    for folder in (root, record, shims):
        folder.mkdir()
    extract(RL_SWARM, root, "ops/scripts", "ops/fixes", "pyproject.toml")
    for name, script in SHIMS.items():
        (shims / name).write_text(f"#!{bash}\n{script}\n", "utf-8")
        (shims / name).chmod(0o755)
    answers = {"AUTO_TESTNET": "n", "AUTO_SWARM": "a", "AUTO_HF_HUB": "n"}
    launcher = subprocess.Popen(
        [bash, "ops/scripts/run_rl_swarm_mac.sh"],
        cwd=root,
        env={
            **os.environ,
            **answers,
            "OSTYPE": "darwin24",
            "PATH": f"{shims}:{os.environ['PATH']}",
            "RECORD": str(record),
            "SLEEP": str(shutil.which("sleep")),
            "PYTHON": sys.executable,
        },
        stdin=subprocess.DEVNULL,
        stdout=(tmp_path / "printed").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        ends = time.monotonic() + 60
        while not (record / "training").exists() and launcher.poll() is None:
            assert time.monotonic() < ends, (tmp_path / "printed").read_text("utf-8")
            time.sleep(0.1)
        time.sleep(1)
        running = launcher.poll() is None
    finally:
        os.killpg(launcher.pid, signal.SIGKILL)
        launcher.wait()
    seen = {path.name: path.read_text("utf-8") for path in record.iterdir()}
    log = (root / "logs" / "performance.log").read_text("utf-8")
    printed = (tmp_path / "printed").read_text("utf-8")
    return {**seen, "log": log, "printed": printed, "running": str(running)}


def test_the_launcher_sets_half_the_cores_and_logs_every_30_seconds(
    launched: dict[str, str],
) -> None:
    environment = launched["environment"].splitlines()
    assert "UV_WORKER_COUNT=5" in environment
    assert "HF_HUB_DOWNLOAD_TIMEOUT=300" in environment
    assert launched["sleeps"].splitlines().count("30") > 2
    lines = launched["log"].splitlines()
    assert len(lines) > 2
    assert all(re.fullmatch(r"\[[^]]+\] CPU: 12\.50%, Memory Free: 61%", line) for line in lines)


def test_the_launcher_patches_a_process_that_does_not_train_and_does_not_notice_its_end(
    launched: dict[str, str],
) -> None:
    assert launched["training"].startswith("-m hivemind_exp.gsm8k.train_single_gpu")
    # It looks for the script in the root, where the repository does not have it.
    assert "fix_mac_accelerate.py not found, skipping patch" in launched["printed"]
    assert launched["printed"].rstrip().endswith("trained")
    assert launched["running"] == "True"


def test_the_script_for_dependencies_reports_success_when_every_command_of_it_fails(
    tmp_path: Path,
) -> None:
    fixes = extract(RL_SWARM, tmp_path, "ops/fixes") / "ops" / "fixes"
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\npwd >> "{tmp_path}/where"\nexit 1\n', "utf-8")
    uv.chmod(0o755)
    done = subprocess.run(
        [str(shutil.which("bash")), str(fixes / "fix_mac_dependencies.sh")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "🎉" in done.stdout.splitlines()[-1]
    assert "/Users/mac/work/gensyn/rl-swarm" in done.stderr
    # The folder of its author is not there, so it went on where it was started.
    assert set((tmp_path / "where").read_text("utf-8").split()) == {str(tmp_path)}


def test_the_monitor_restarts_by_a_script_that_the_repository_does_not_have(
    tmp_path: Path,
) -> None:
    needs("psutil")
    monitoring = extract(RL_SWARM, tmp_path, "ops/monitoring/auto_restart_monitor.py")
    code = "from auto_restart_monitor import SimpleAutoRestart as S; print(S().start_rl_swarm())"
    done = python(tmp_path, "-c", code, path=str(monitoring / "ops" / "monitoring"))
    assert done.stdout.splitlines()[-1] == "False", done.stderr
    tree = git(RL_SWARM[0], "ls-tree", "-r", "--name-only", RL_SWARM[1]).decode().splitlines()
    assert not [path for path in tree if path.rpartition("/")[2] == "manage.sh"]


CLEAN = """
import logging, os, pathlib, shutil, sys, time
from types import SimpleNamespace
import preemptive_fixes as fixes
logging.disable()
for free in (9, 11):
    shutil.disk_usage = lambda path, free=free: SimpleNamespace(free=free * 2**30)
    print(fixes.check_disk_space())
cache = pathlib.Path.home() / ".cache" / "huggingface"
cache.mkdir(parents=True)
for name, days in (("old", 40), ("new", 1)):
    with (cache / name).open("wb") as file:
        file.truncate(3 * 2**30)  # without a block on the disk
    os.utime(cache / name, (time.time(), time.time() - days * 86400))  # read just now
fixes.check_huggingface_cache()
print(*sorted(path.name for path in cache.iterdir()))
"""


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the checks before a training say of 9 and 11 GB of disk, and what they leave of a cache."""
    needs("psutil")
    fixes = extract(RL_SWARM, tmp_path, "ops/fixes") / "ops" / "fixes"
    monkeypatch.setenv("HOME", str(tmp_path))
    return python(tmp_path, "-c", CLEAN, path=str(fixes)).stdout.splitlines()


def test_the_programs_own_check_asks_for_10_gb_of_disk(checked: list[str]) -> None:
    assert checked[:2] == ["False", "True"]


def test_the_cache_is_cleaned_by_hand_and_by_the_age_of_downloads(
    checked: list[str], tmp_path: Path
) -> None:
    assert checked[2] == "new"
    scripts = extract(RL_SWARM, tmp_path / "scripts", "ops/scripts")
    assert not [p for p in scripts.rglob("*.sh") if "preemptive_fixes" in p.read_text("utf-8")]


# mini-llm

TINY = """
import contextlib, io, json, sys
sys.path[:0] = [".", "src"]
from config import mac_optimized_config as mac
from model.transformer import create_model

def parameters(config):
    with contextlib.redirect_stdout(io.StringIO()):
        model = create_model(config.model.vocab_size, config.model.model_size)
    return sum(each.numel() for each in model.parameters())

tiny, small, medium = (getattr(mac, f"get_mac_{n}_config")() for n in ("tiny", "small", "medium"))
facts = {"tiny": parameters(tiny), "small": parameters(small), "medium": parameters(medium)}
facts["estimate"] = mac.estimate_model_size(tiny)["total_params"]
size = mac.estimate_model_size(tiny)
facts["factor"] = size["training_memory_mb"] / size["model_memory_mb"]
tiny.model.d_model = 128
facts["wider"] = parameters(tiny)
facts["steps"] = [each.pretrain.max_steps for each in (tiny, small, medium)]
facts["data"] = tiny.data.train_files
limits = mac.MacResourceConfig()
facts["limits"] = [limits.max_cpu_percent, limits.max_memory_percent]
print(json.dumps(facts))
"""


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Return a folder with the program as it was when the guide was written, and 200 texts."""
    return with_texts(extract(FIRST, tmp_path, "config", "scripts", "src"))


def with_texts(folder: Path) -> Path:
    """Add 200 texts, where the program looks for them, and plots that plot nothing."""
    data = folder / "data" / "dataset" / "minimind_dataset"
    data.mkdir(parents=True)
    texts = (
        f"<|im_start|>how many {i}<|im_end|> <|im_start|>{7 * i}<|im_end|>" for i in range(200)
    )
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (data / "pretrain_200.jsonl").write_text(lines, "utf-8")
    plots = folder / "plots" / "matplotlib"
    plots.mkdir(parents=True)
    (plots / "__init__.py").write_text("def use(name): pass\n", "utf-8")
    (plots / "pyplot.py").write_text("def __getattr__(name): raise OSError(name)\n", "utf-8")
    return folder


def test_the_sizes_the_steps_and_the_limits_of_the_configurations(first: Path) -> None:
    needs("torch", "psutil")
    facts = json.loads(python(first, "-c", TINY).stdout.splitlines()[-1])
    assert (facts["tiny"], facts["estimate"]) == (1_307_344, 226_304)
    assert facts["wider"] == facts["tiny"]  # d_model of the configuration builds no model
    assert facts["small"] == 24_040_328
    assert facts["medium"] > 55_000_000
    assert facts["factor"] == 3
    assert facts["steps"] == [500, 1500, 4000]
    assert facts["data"] == ["pretrain_200.jsonl"]
    assert facts["limits"] == [85, 85]


@pytest.mark.parametrize("commit", LATER)
def test_the_limits_are_the_same_in_later_versions(commit: str) -> None:
    text = git("mini-llm", "show", f"{commit}:config/mac_optimized_config.py").decode()
    assert re.findall(r"max_(?:cpu|memory)_percent: float = ([0-9.]+)", text) == ["85.0", "85.0"]


def train(folder: Path, *options: str, stop_after: str = "", wait: float = 0) -> str:
    """Train with the tiny configuration; press Ctrl+C when it has printed ``stop_after``. Return its output."""
    printed = folder / "printed"
    with printed.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "scripts/train_optimized.py", "--config", "tiny", *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder / "plots"), "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            ends = time.monotonic() + 120
            while stop_after and running.poll() is None and time.monotonic() < ends:
                if stop_after in printed.read_text("utf-8"):
                    time.sleep(wait)
                    running.send_signal(signal.SIGINT)
                    break
                time.sleep(0.2)
            running.wait(120)
        finally:
            running.kill()
            running.wait()
    return printed.read_text("utf-8")


def steps(printed: str) -> int:
    """Return the number of steps that a training reports at its end."""
    return int(re.findall(r"总步数: (\d+)", printed)[-1])


def test_ctrl_c_saves_the_model_and_the_first_version_begins_again(first: Path) -> None:
    needs("torch", "psutil", "tqdm", "numpy")
    stopped = train(first, "--disable-monitoring", stop_after="轮次 0")
    assert 10 <= steps(stopped) < 500
    assert (first / "checkpoints" / "mac_tiny" / "final_model.pt").is_file()
    again = train(first, "--disable-monitoring", stop_after="轮次 0")
    assert "tokenizer.pkl" in again
    before, after = (float(re.findall(r"平均 ([0-9.]+) ", each)[0]) for each in (stopped, again))
    assert after == pytest.approx(before, abs=0.3)  # as high as at the first start


def test_the_second_version_resumes_only_if_it_is_asked_to(tmp_path: Path) -> None:
    needs("torch", "psutil", "tqdm", "numpy")
    folder = with_texts(extract(SECOND, tmp_path, "config", "scripts", "src"))
    options = ["--disable-monitoring", "--disable-optimizations", "--dataloader-workers", "0"]
    options += ["--data-files", "pretrain_200.jsonl", "--batch-size", "4"]
    first = train(folder, *options, "--max-steps", "20")
    again = train(folder, *options, "--max-steps", "10")
    resumed = train(folder, *options, "--max-steps", "20", "--auto-resume")
    assert (steps(first), steps(again)) == (20, 10)
    # It goes on after the 10 of the run before it, so the first line that it prints is of step 20.
    losses = [float(re.findall(r"平均 ([0-9.]+) ", each)[0]) for each in (again, resumed)]
    assert losses[1] < losses[0] - 1
    text = (folder / "scripts" / "train_optimized.py").read_text("utf-8")
    assert "default=['pretrain_hq.jsonl', 'sft_mini_512.jsonl']" in text


def test_over_the_limit_of_memory_it_pauses_for_ever(first: Path) -> None:
    needs("torch", "psutil", "tqdm", "numpy")
    printed = train(first, "--max-memory", "0", stop_after="暂停训练", wait=20)
    assert "继续训练" not in printed
    after = printed.partition("暂停训练")[2].partition("收到信号")[0]
    # The step that was running may end; in 20 seconds there is no tenth one.
    assert "steps/s" not in after


def test_it_does_not_start_with_torch_and_psutil_alone(first: Path) -> None:
    needs("torch", "psutil")
    code = (
        "import runpy, sys; sys.modules.update(matplotlib=None, tqdm=None);"
        "runpy.run_path('scripts/train_optimized.py')"
    )
    assert "ModuleNotFoundError" in python(first, "-c", code).stderr


def test_from_another_folder_the_modules_are_found_and_the_data_are_not(first: Path) -> None:
    needs("torch", "psutil", "tqdm", "numpy")
    script = "train_optimized.py"
    options = ["--config", "tiny", "--disable-monitoring"]
    done = python(first / "scripts", script, *options, path=str(first / "plots"))
    assert "ModuleNotFoundError" not in done.stdout + done.stderr
    assert "FileNotFoundError" in done.stderr


def test_the_commands_for_generation_and_evaluation_do_not_work(first: Path) -> None:
    needs("torch", "numpy")
    assert not (first / "scripts" / "evaluate.py").exists()
    done = python(first, "scripts/generate.py", "--model", "final_model.pt")
    assert done.returncode == 2
    assert "--tokenizer-path" in done.stderr


def test_nothing_adjusts_the_batch_and_nothing_reads_the_validation_data(first: Path) -> None:
    program = (first / "scripts" / "train_optimized.py").read_text("utf-8")
    assert "MacResourceMonitor" in program
    assert "get_recommended_batch_size" not in program
    texts = [path.read_text("utf-8") for path in first.rglob("*.py")]
    assert not [text for text in texts if "pretrain_test" in text]
