"""An unmodified script with a Trainer: the guard names the cause, and a request stops it with a checkpoint."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest
from child_run import run

from metalassay.environment import versions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not {"torch", "accelerate", "transformers"} <= versions.installed().keys(),
        reason="torch, accelerate or transformers is not installed",
    ),
]

SCRIPT = """
import os, sys, time
import torch
from torch.utils.data import Dataset, IterableDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

def row(index):
    tokens = torch.tensor([1 + index % 30, 2, 3, 4])
    return {"input_ids": tokens, "labels": tokens.clone()}

class Stream(IterableDataset):
    def __iter__(self): return iter(())

class Rows(Dataset):
    def __len__(self): return 100_000
    def __getitem__(self, index): return row(index)

class Slow(TrainerCallback):
    def on_step_begin(self, args, state, control, **others):
        if not state.is_world_process_zero and state.global_step % 3 == 0:
            time.sleep(0.03)

model = GPT2LMHeadModel(GPT2Config(
    vocab_size=32, n_positions=64, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=1))
arguments = TrainingArguments(
    output_dir="out", use_cpu=True, report_to=[], max_steps=MAX, save_strategy="no", disable_tqdm=True,
    per_device_train_batch_size=2, accelerator_config={"dispatch_batches": DISPATCH})
trainer = Trainer(model=model, args=arguments, train_dataset=DATA, callbacks=[Slow()])
# One write: what two ranks print may not get into each other.
sys.stdout.write(f"steps {trainer.train().global_step}" + chr(10))
"""

ASK = """
import os, threading
from pathlib import Path
from metalassay.supervise.protocol import Request, write_request
request = Request(1, "stop", "memory")
if os.environ.get("RANK", "0") == "0":
    threading.Timer(8, write_request, (Path(os.environ["METALASSAY_RUN"]), request)).start()
"""

CAUSE = "the training took no step: the dataset is an iterable, and it yielded nothing"


def script(folder: Path, data: str, most: int = 3, dispatch: bool = False, before: str = "") -> str:
    text = SCRIPT.replace("DATA", data).replace("MAX", str(most)).replace("DISPATCH", str(dispatch))
    (folder / "train.py").write_text(before + text)
    return "train.py"


def two_processes() -> list[str]:
    """Return the command of `accelerate launch` for two processes, on the CPU if the script says so."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    module = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    options = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [sys.executable, *module, *options, "--main_process_port", port]


@pytest.mark.parametrize("dispatch", [False, True])
def test_an_empty_stream_ends_with_its_cause_whichever_accelerate_is_installed(
    tmp_path: Path, dispatch: bool
) -> None:
    ended = run([sys.executable, script(tmp_path, "Stream()", dispatch=dispatch)], cwd=tmp_path)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith(f"metalassay.guard.ZeroStepsError: {CAUSE} (")
    assert [each["text"] for each in ended.of("zero steps")] == [CAUSE]
    assert ended.of("empty loader") == []
    assert ended.of("ended")[0]["exception"].startswith(f"ZeroStepsError: {CAUSE} (")


def test_without_guard_and_patches_it_ends_as_it_would(tmp_path: Path) -> None:
    command = [sys.executable, script(tmp_path, "Stream()")]
    ended = run(command, cwd=tmp_path, guard=False, patches=())
    plain = run(command, cwd=tmp_path, variables={"METALASSAY_RUN": ""})
    assert ended.code == plain.code
    assert "ZeroStepsError" not in ended.err
    assert ended.of("zero steps") + ended.of("patched") == []
    if plain.code:
        assert ended.err.splitlines()[-1] == plain.err.splitlines()[-1]


def test_the_same_through_accelerate_launch_with_two_processes(tmp_path: Path) -> None:
    ended = run([*two_processes(), script(tmp_path, "Stream()")], cwd=tmp_path)
    assert ended.code == 1
    started = [each["program"] for each in ended.of("started")]
    assert started == ["-m accelerate.commands.launch", "train.py", "train.py"]
    assert {each["text"] for each in ended.of("zero steps")} == {CAUSE}
    assert f"ZeroStepsError: {CAUSE} (" in ended.err


def test_the_same_through_uv(tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    command = [uv, "run", "--no-project", "--offline", "--python", sys.executable, "python"]
    ended = run([*command, script(tmp_path, "Stream()")], cwd=tmp_path)
    assert ended.code == 1
    assert [each["text"] for each in ended.of("zero steps")] == [CAUSE], ended.err
    assert ended.err.splitlines()[-1].startswith(f"metalassay.guard.ZeroStepsError: {CAUSE} (")


def test_a_training_is_stopped_with_a_checkpoint(tmp_path: Path) -> None:
    name = script(tmp_path, "Rows()", 1_000_000, before=ASK)
    ended = run([sys.executable, name], cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = int(ended.out.rpartition("steps ")[2])
    assert steps > 0
    (checkpoint,) = ended.of("checkpoint")
    (stopping,) = ended.of("stopping")
    assert checkpoint["step"] == stopping["step"] == ended.of("steps")[-1]["steps"] == steps
    assert checkpoint["path"] == str(tmp_path / "out" / f"checkpoint-{steps}")
    assert (Path(checkpoint["path"]) / "trainer_state.json").is_file()
    assert stopping["reason"] == "memory"


def test_two_ranks_are_stopped_in_the_same_step_with_one_checkpoint(tmp_path: Path) -> None:
    name = script(tmp_path, "Rows()", 1_000_000, before=ASK)
    ended = run([*two_processes(), name], cwd=tmp_path)
    assert ended.code == 0, ended.err
    (checkpoint,) = ended.of("checkpoint")
    assert [each["step"] for each in ended.of("stopping")] == [checkpoint["step"]] * 2
    assert ended.out.count(f"steps {checkpoint['step']}") == 2
