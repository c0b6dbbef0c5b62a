"""What the guides' scripts do, done again with the real shell, uv, accelerate and torch, on any machine.

The programs themselves are executed in test_guide_programs.py, where there are clones of them.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.testing import accelerate_state


def bash(script: str, folder: Path | None = None, **environment: str) -> tuple[int, list[str]]:
    """Run a script in a bash of its own, and return its exit code and the lines that it printed."""
    program = shutil.which("bash")
    if program is None or os.name != "posix":
        pytest.skip("no bash here")
    done = subprocess.run(
        [program, "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


# Guides 000 and 001: shell scripts


def test_half_the_cores_is_half_inside_the_function_and_zero_outside() -> None:
    inside = "detect() { local cores=10; export UV_WORKER_COUNT=$((cores / 2)); }"
    assert bash(f"{inside}; detect; echo $UV_WORKER_COUNT") == (0, ["5"])
    outside = "detect() { local cores=10; }; detect; echo $((cores / 2))"
    assert bash(outside) == (0, ["0"])


def test_a_script_without_set_e_reports_success_after_every_failure(tmp_path: Path) -> None:
    script = f"cd {tmp_path}/not-there\nfalse\npwd\necho repaired"
    assert bash(script, tmp_path) == (0, [str(tmp_path.resolve()), "repaired"])
    code, printed = bash(f"set -e\n{script}", tmp_path)
    assert (code != 0, printed) == (True, [])


def test_a_training_started_by_os_system_can_fail_unnoticed() -> None:
    code = "import os, sys; os.system(f'{sys.executable} -c \"raise SystemExit(3)\"')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_patch_does_not_reach_a_process_that_is_started_afterwards() -> None:
    if os.name != "posix":
        pytest.skip("the quotes are those of a POSIX shell")
    code = (
        "import json, os, sys; json.patched = True; print(hasattr(json, 'patched'), flush=True);"
        "os.system(f'{sys.executable} -c \"import json; print(hasattr(json, \\'patched\\'))\"')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_a_new_terminal_has_none_of_the_exported_variables() -> None:
    name = "METALASSAY_EXPORTED"
    assert bash(f"export {name}=1; bash -c 'echo ${name}'") == (0, ["1"])
    assert bash(f"echo ${name}") == (0, [""])


# Guide 001: uv


def wheel(folder: Path, version: str) -> None:
    """Write a wheel of a package named faulty, whose module says its version."""
    info = f"faulty-{version}.dist-info"
    files = {
        "faulty.py": f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: faulty\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"faulty-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


PROJECT = """
[project]
name = "program"
version = "0"
requires-python = ">=3.9"
dependencies = ["faulty{bound}"]
[tool.uv]
package = false
no-index = true
find-links = ["wheels"]
"""
ASK = ("python", "-c", "import faulty; print(faulty.__version__)")


@pytest.mark.parametrize(
    ("bound", "runs"),
    [pytest.param("", "1.8.0", id="locked"), pytest.param("<1.8", "1.1.1", id="bound")],
)
def test_uv_run_undoes_what_uv_pip_install_did(tmp_path: Path, bound: str, runs: str) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    (tmp_path / "wheels").mkdir()
    for version in ("1.1.1", "1.8.0"):
        wheel(tmp_path / "wheels", version)
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(bound=bound), "utf-8")
    # UV_PYTHON and VIRTUAL_ENV would be, for uv pip, the environment of these tests.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("UV_", "VIRTUAL_ENV"))
    }
    # Both wheels have a module of the same size and date: bytecode of one would be taken for the other's.
    plain = {"PYTHONDONTWRITEBYTECODE": "1", "UV_OFFLINE": "1"}
    env = {**kept, **plain, "UV_CACHE_DIR": str(tmp_path / "cache")}

    def prints(*arguments: str) -> str:
        command = [uv, *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    prints("sync", "--python", sys.executable)
    prints("pip", "install", "faulty==1.1.1")
    assert prints("run", "--no-sync", *ASK) == "1.1.1"
    assert prints("run", *ASK) == runs
    # It is not only what that command saw: the environment is changed.
    assert prints("run", "--no-sync", *ASK) == runs


# Guide 001: accelerate

EMPTY_LOADER = """
from collections import deque
import accelerate
from torch.utils.data import DataLoader
deque(accelerate.Accelerator(cpu=True).prepare(DataLoader([], batch_size=2)), maxlen=0)
"""
SOLUTION_3 = {
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.0",
    "OMP_NUM_THREADS": "4",
    "TOKENIZERS_PARALLELISM": "false",
}


def with_accelerate(*more: str) -> None:
    if missing := {"accelerate", "torch", *more} - versions.installed().keys():
        pytest.skip(f"{', '.join(sorted(missing))} is not installed")


@pytest.mark.slow
def test_the_variables_do_not_change_the_python_error() -> None:
    with_accelerate()
    from metalassay import bugs

    if not bugs.get("accelerate-empty-shard").hits(versions.installed(), "unbound-local"):
        pytest.skip("this accelerate does not have the error")

    def error(variables: dict[str, str]) -> str:
        kept = {name: value for name, value in os.environ.items() if name not in SOLUTION_3}
        command = [sys.executable, "-c", EMPTY_LOADER]
        done = subprocess.run(
            command, env={**kept, **variables}, capture_output=True, text=True, check=False
        )
        return done.stderr.splitlines()[-1]

    without = error({})
    assert without.startswith("UnboundLocalError")
    assert error(SOLUTION_3) == without


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the method by a generator that returns the stock one, as the guide's script does."""
    with_accelerate("transformers")
    from accelerate.data_loader import DataLoaderShard

    stock = DataLoaderShard.__dict__["__iter__"]

    def handing_over(self: Any) -> Any:
        try:
            return stock(self)  # the value of a generator's return is no batch
        except UnboundLocalError:
            yield from self.dataset

    accelerate_state.reset()
    monkeypatch.setattr(DataLoaderShard, "__iter__", handing_over)
    yield
    monkeypatch.undo()
    accelerate_state.reset()
    gc.collect()


@pytest.mark.slow
def test_a_method_that_yields_anywhere_returns_nothing_to_a_loop(
    replaced: None, tmp_path: Path
) -> None:
    import accelerate
    from torch.utils.data import DataLoader

    from metalassay.testing import tiny_trainer

    rows: Any = list(range(16))
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader(rows, batch_size=4))
    assert (len(loader), list(loader)) == (4, [])
    trainer = tiny_trainer.trainer(tmp_path, tiny_trainer.Rows(16), max_steps=3)
    assert trainer.train().global_step == 0  # and no error


# Guide 002


def test_squeeze_removes_the_batch_of_one_and_the_loss_refuses_it() -> None:
    if "torch" not in versions.installed():
        pytest.skip("torch is not installed")
    import torch
    from torch.nn import functional

    def loss(batch: int) -> Any:
        outputs, targets = torch.zeros(batch, 1), torch.zeros(batch)
        return functional.binary_cross_entropy_with_logits(outputs.squeeze(), targets)

    assert loss(2) > 0
    with pytest.raises(ValueError, match="must be the same as input size"):
        loss(1)


# Guide 004


def test_two_hundred_texts_are_read_in_far_less_than_a_minute(tmp_path: Path) -> None:
    line = json.dumps({"text": "a question and its answer, " * 20})
    (tmp_path / "texts.jsonl").write_text(f"{line}\n" * 200, "utf-8")
    began = time.perf_counter()
    with (tmp_path / "texts.jsonl").open(encoding="utf-8") as lines:
        texts = [json.loads(each)["text"] for each in lines]
    assert len(texts) == 200
    assert time.perf_counter() - began < 1  # the guide: a minute
