"""The limits and mistakes that need no Mac: each is made here, and its message finds its row."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import resource
import subprocess
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from reproduced import ids, traceback_of
from torch import nn

from metalassay.bugs import tracebacks
from metalassay.diagnosis import limit_answer

F = nn.functional


def printed(program: str, tmp_path: Path, timeout: int = 120) -> str:
    """Run a program in a process of its own, and return what it printed to both streams."""
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(program), "utf-8")
    ran = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return ran.stdout


def layer(**options: Any) -> nn.Module:
    return nn.Conv2d(3, 4, 3, **options)


@pytest.mark.parametrize("first", ["cpu", "meta"])
def test_two_devices(first: str) -> None:
    other = {"cpu": "meta", "meta": "cpu"}[first]
    text = traceback_of(
        lambda: torch.zeros(2, device=first) + torch.zeros(2, device=other), RuntimeError
    )
    assert ids(text) == ["two-devices"]


@pytest.mark.parametrize(
    ("dtype", "title"),
    [
        (torch.uint8, "The input is an image of bytes"),
        (torch.float64, "The input is float64"),
        (torch.float16, "their number types differ"),
    ],
)
def test_input_and_weight_types(dtype: torch.dtype, title: str) -> None:
    image = torch.zeros(1, 3, 8, 8, dtype=dtype)
    text = traceback_of(lambda: layer()(image), RuntimeError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "input-and-weight-dtype"
    assert title in answer.title


@pytest.mark.parametrize(
    "action",
    [
        lambda: torch.zeros(2, 3) @ torch.zeros(3, 3).half(),
        lambda: F.linear(torch.zeros(2, 3), torch.zeros(3, 3).double()),
        lambda: torch.zeros(2, 3).long() @ torch.zeros(3, 3),
        lambda: F.scaled_dot_product_attention(
            torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4).half(), torch.zeros(1, 2, 3, 4).half()
        ),
    ],
)
def test_a_product_of_two_types(action: Callable[[], object]) -> None:
    assert ids(traceback_of(action, RuntimeError)) == ["matmul-dtype"]


def test_autocast_of_an_unknown_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda device: False)
    monkeypatch.setattr(
        "torch.amp.autocast_mode.is_autocast_available", lambda device: False, raising=False
    )
    text = traceback_of(lambda: torch.autocast("mps"), RuntimeError)
    assert ids(text, torch="2.4.1") == ["mps-autocast-device"]


def test_autocast_of_mps_refuses_float32() -> None:
    with pytest.warns(UserWarning, match="target dtype") as caught:
        autocast = torch.autocast("mps", dtype=torch.float32)
    assert not autocast._enabled
    assert ids(str(caught[0].message), torch=torch.__version__) == ["mps-autocast-dtype"]


def test_torch_mps_lacks_a_name() -> None:
    text = traceback_of(lambda: torch.mps.max_memory_allocated(), AttributeError)  # type: ignore[attr-defined]
    [answer] = limit_answer.find(tracebacks.clean(text), {"torch": torch.__version__})
    assert answer.title == "torch.mps of this version has no max_memory_allocated"


def test_inductor_without_a_compiler() -> None:
    exc = pytest.importorskip("torch._inductor.exc")
    text = traceback_of(lambda: raised(exc.InvalidCxxCompiler()), RuntimeError)
    assert ids(text) == ["inductor-compiler"]


def raised(error: Exception) -> None:
    raise error


def test_a_missing_triton() -> None:
    with contextlib.suppress(ImportError):
        pytest.skip(f"triton is installed: {__import__('triton')}")
    assert ids(traceback_of(lambda: __import__("triton"), ImportError)) == ["triton-missing"]


def test_view_of_a_transposed_tensor() -> None:
    text = traceback_of(lambda: torch.zeros(3, 3).t().view(9), RuntimeError)
    assert ids(f"{text}\ndevice: mps") == ["view-not-contiguous"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize(
    "action",
    [
        lambda: torch.zeros(1).cuda(),
        lambda: torch.cuda.current_device(),
        lambda: torch.Generator("cuda"),
        lambda: torch.device("gpu"),
    ],
)
def test_cuda_is_not_there(action: Callable[[], object]) -> None:
    text = traceback_of(action, (AssertionError, RuntimeError))  # type: ignore[arg-type]
    assert ids(text) == ["torch-without-cuda"]


@pytest.mark.skipif(torch.backends.mps.is_built(), reason="this torch has MPS")
def test_mps_is_not_built_on_linux() -> None:
    text = traceback_of(lambda: torch.zeros(3, device="mps"), (NotImplementedError, RuntimeError))  # type: ignore[arg-type]
    assert ids(text) == ["torch-without-mps"]


def test_a_missing_bitsandbytes() -> None:
    transformers = pytest.importorskip("transformers")
    with contextlib.suppress(ImportError):
        pytest.skip(f"bitsandbytes is installed: {__import__('bitsandbytes')}")
    quantizers = pytest.importorskip("transformers.quantizers.quantizer_bnb_4bit")
    config = transformers.BitsAndBytesConfig.__new__(transformers.BitsAndBytesConfig)
    quantizer = quantizers.Bnb4BitHfQuantizer.__new__(quantizers.Bnb4BitHfQuantizer)
    quantizer.quantization_config = config
    text = traceback_of(quantizer.validate_environment, ImportError)
    assert ids(text) == ["bitsandbytes-mac"]


def tiny(**options: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=16, **options)


def test_flash_attention_is_missing() -> None:
    transformers = pytest.importorskip("transformers")
    text = traceback_of(
        lambda: transformers.AutoModelForCausalLM.from_config(
            tiny(), attn_implementation="flash_attention_2"
        ),
        ImportError,
    )
    assert ids(text) == ["flash-attention-mac"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the test's own way to be killed is Linux's")
def test_a_killed_process_leaks_its_semaphores(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import multiprocessing, os, signal\n"
        "lock = multiprocessing.get_context('spawn').Lock()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        ["/bin/bash", "-c", f"{sys.executable} {script}; true"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert "leaked semaphore" in ran.stdout
    assert ids(ran.stdout) == ["process-killed"]
    alone = next(line for line in ran.stdout.splitlines() if "There appear to be" in line)
    assert ids(alone) == ["leaked-semaphore"]


LOADER = """
    import torch
    def make():
        class Numbers(torch.utils.data.Dataset):
            def __len__(self): return 4
            def __getitem__(self, index): return torch.tensor(index)
        return Numbers()
    loader = torch.utils.data.DataLoader(
        make(), num_workers=1, multiprocessing_context="spawn"
    )
    if __name__ == "__main__":
        for batch in loader:
            print(batch)
"""


@pytest.mark.slow
def test_a_local_function_under_spawn(tmp_path: Path) -> None:
    assert ids(printed(LOADER, tmp_path))[0] == "pickle-local-object"


@pytest.mark.slow
def test_a_class_of_the_main_program_under_spawn(tmp_path: Path) -> None:
    program = """
        import torch
        if __name__ == "__main__":
            class Numbers(torch.utils.data.Dataset):
                def __len__(self): return 4
                def __getitem__(self, index): return torch.tensor(index)
            loader = torch.utils.data.DataLoader(
                Numbers(), num_workers=1, multiprocessing_context="spawn"
            )
            for batch in loader:
                print(batch)
    """
    text = printed(program, tmp_path)
    found = limit_answer.find(tracebacks.clean(text), {})
    assert {each.id for each in found} >= {"spawn-main-attribute", "worker-exited"}
    [answer] = [each for each in found if each.id == "spawn-main-attribute"]
    assert "Numbers" in answer.title


@pytest.mark.slow
def test_a_program_without_a_guard(tmp_path: Path) -> None:
    program = """
        import torch
        numbers = torch.utils.data.TensorDataset(torch.arange(4))
        loader = torch.utils.data.DataLoader(
            numbers, num_workers=1, multiprocessing_context="spawn"
        )
        for batch in loader:
            print(batch)
    """
    assert "spawn-no-main-guard" in ids(printed(program, tmp_path))


class Ending(torch.utils.data.Dataset[int]):
    """A data set whose worker ends."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        os._exit(1)


@pytest.mark.slow
def test_a_worker_that_ends() -> None:
    loader = torch.utils.data.DataLoader(Ending(), num_workers=1)
    text = traceback_of(lambda: list(loader), RuntimeError)
    assert "worker-exited" in ids(text)


@pytest.mark.slow
def test_tokenizers_after_a_fork(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    program = """
        import os, tokenizers
        from tokenizers import models, pre_tokenizers
        tokenizer = tokenizers.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.encode_batch(["a b"] * 100)
        if os.fork() == 0:
            tokenizer.encode_batch(["a b"] * 100)
            os._exit(0)
        os.wait()
        print("fine")
    """
    text = printed(program, tmp_path)
    assert "fine" in text
    assert ids(text) == ["tokenizers-fork"]


@contextlib.contextmanager
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE,
        (max(map(int, (each.name for each in Path("/dev/fd").iterdir()))) + 4, hard),
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_of_open_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    files: list[io.IOBase] = []

    def torch_reads() -> None:
        while True:
            files.append(path.open("rb"))

    try:
        with few_files(), pytest.raises(OSError, match="Too many open files") as caught:
            torch_reads()
    finally:
        for file in files:
            file.close()
    assert ids("".join(traceback.format_exception(caught.value))) == ["too-many-open-files"]


@pytest.mark.skipif(
    torch.accelerator.is_available() if hasattr(torch, "accelerator") else True,
    reason="with an accelerator there is no warning",
)
def test_pin_memory_without_an_accelerator() -> None:
    numbers = torch.utils.data.TensorDataset(torch.arange(2))
    loader = torch.utils.data.DataLoader(numbers, pin_memory=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(loader)
    text = "\n".join(str(warning.message) for warning in caught)
    assert ids(text, torch=torch.__version__) == ["pin-memory-mps"]


@pytest.mark.skipif(
    torch.distributed.is_available() and torch.distributed.is_nccl_available(),
    reason="this torch has NCCL",
)
def test_nccl_is_not_built_in(tmp_path: Path) -> None:
    def start() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.distributed.init_process_group(
                "nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
            )

    assert ids(traceback_of(start, RuntimeError)) == ["nccl-missing"]


@pytest.mark.parametrize(
    ("precision", "device", "old_torch", "expected"),
    [
        ("fp16", "cpu", False, None),
        ("fp16", "meta", False, "accelerate-fp16-cpu"),
        ("fp16", "mps", True, "accelerate-mps-needs-torch"),
        ("bf16", "mps", True, "accelerate-bf16"),
    ],
)
def test_fp16_of_accelerate_needs_a_gpu(
    precision: str,
    device: str,
    old_torch: bool,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accelerate = pytest.importorskip("accelerate")
    from metalassay.testing import accelerate_state

    new = tuple(map(int, accelerate.__version__.split(".")[:2])) >= (1, 11)
    if expected == "accelerate-mps-needs-torch" and not new:
        expected = "accelerate-fp16-mps"  # refused for every torch
    accelerate_state.reset()
    monkeypatch.setattr(accelerate.Accelerator, "device", torch.device(device), raising=False)
    if old_torch:
        monkeypatch.setattr("accelerate.accelerator.is_torch_version", lambda *a: False)
        monkeypatch.setattr("accelerate.accelerator.is_bf16_available", lambda *a: False)
    try:
        if expected is None:
            accelerate.Accelerator(mixed_precision=precision, cpu=True)
            return
        text = traceback_of(
            lambda: accelerate.Accelerator(mixed_precision=precision, cpu=True), ValueError
        )
    finally:
        accelerate_state.reset()
    if device == "meta" and not new:
        text = text.replace("'meta'", "'cpu'")  # what accelerate 0.29.3 to 1.10 say of a CPU
    assert ids(text)[:1] == [expected]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_bf16_of_training_arguments(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    if torch.backends.mps.is_available():
        pytest.skip("MPS may have bf16")
    text = traceback_of(
        lambda: transformers.TrainingArguments(output_dir=str(tmp_path), bf16=True), ValueError
    )
    assert ids(text, transformers=transformers.__version__) == ["training-arguments-bf16"]


def test_unscaling_float16_gradients() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.float16))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(weight.sum()).backward()  # type: ignore[no-untyped-call]
    text = traceback_of(lambda: scaler.unscale_(optimizer), ValueError)
    assert ids(text) == ["unscale-fp16-gradients"]


def test_a_second_accelerator() -> None:
    accelerate = pytest.importorskip("accelerate")
    from metalassay.testing import accelerate_state

    accelerate_state.reset()
    try:
        accelerate.Accelerator(mixed_precision="no", cpu=True)
        text = traceback_of(
            lambda: accelerate.Accelerator(mixed_precision="bf16", cpu=True), ValueError
        )
    finally:
        accelerate_state.reset()
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "accelerator-state-initialised"
    assert "mixed_precision='bf16'" in answer.title


def tokenizer() -> Any:
    """Return a tokenizer without a padding token, made without a download."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


def test_a_tokenizer_without_padding() -> None:
    text = traceback_of(lambda: tokenizer()(["a", "a b"], padding=True), ValueError)
    assert ids(text) == ["no-padding-token"]


def test_texts_of_different_lengths() -> None:
    text = traceback_of(lambda: tokenizer()(["a", "a b"], return_tensors="pt"), ValueError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "cannot-make-tensor-of-texts"
    stacked = traceback_of(
        lambda: torch.utils.data.default_collate([torch.zeros(35), torch.zeros(28)]), RuntimeError
    )
    [answer] = limit_answer.find(tracebacks.clean(stacked), {})
    assert "35 tokens, another 28" in answer.cause


def trainer(tmp_path: Path, rows: list[dict[str, Any]], held: Any = None, **options: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    from metalassay.testing import accelerate_state

    accelerate_state.reset()
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path), max_steps=1, report_to=[], use_cpu=True, **options
    )
    model = transformers.GPT2LMHeadModel(tiny())
    return transformers.Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=held)


@pytest.mark.slow
def test_a_trainer_without_labels(tmp_path: Path) -> None:
    rows = [{"input_ids": torch.ones(4, dtype=torch.long)}] * 8
    text = traceback_of(lambda: trainer(tmp_path, rows).train(), ValueError)
    assert ids(text) == ["no-loss"]


@pytest.mark.slow
def test_a_named_evaluation_set_names_its_metrics(tmp_path: Path) -> None:
    ones = torch.ones(4, dtype=torch.long)
    rows = [{"input_ids": ones, "labels": ones}] * 2
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    every = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    made = trainer(tmp_path, rows, held={"held": rows}, **every, **best)
    text = traceback_of(made.train, KeyError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "metric-of-a-named-set"
    assert "metric_for_best_model='eval_held_loss'" in answer.do[0]


def test_a_model_without_the_mixin_has_no_generate() -> None:
    transformers = pytest.importorskip("transformers")

    class PlainForCausalLM(transformers.PreTrainedModel):  # type: ignore[misc, name-defined]
        pass

    model = PlainForCausalLM(transformers.PretrainedConfig())
    text = traceback_of(lambda: model.generate(), AttributeError)
    assert ids(text, transformers=transformers.__version__) == ["model-without-generate"]


def test_a_trainer_without_columns(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    utils = pytest.importorskip("transformers.trainer_utils")
    made = trainer(tmp_path, [{"text": "a"}])
    made._signature_columns = ["input_ids"]

    class Columns:
        column_names = ("text",)

        def __len__(self) -> int:
            return 1

    assert utils is not None
    if not hasattr(made, "_remove_unused_columns"):
        pytest.skip(f"transformers {transformers.__version__} removes columns elsewhere")
    text = traceback_of(
        lambda: made._remove_unused_columns(Columns(), description="training"), ValueError
    )
    assert ids(text) == ["no-columns-left"]


def test_strategies_that_differ(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    text = traceback_of(
        lambda: transformers.TrainingArguments(
            output_dir=str(tmp_path), load_best_model_at_end=True, use_cpu=True
        ),
        ValueError,
    )
    assert ids(text) == ["save-and-eval-strategy"]


def test_a_trainer_without_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setattr("transformers.training_args.is_accelerate_available", lambda *a: False)
    text = traceback_of(
        lambda: transformers.TrainingArguments(output_dir=str(tmp_path)).device, ImportError
    )
    assert ids(text) == ["trainer-needs-accelerate"]


def test_a_loss_without_a_gradient() -> None:
    text = traceback_of(lambda: torch.zeros(3).sum().backward(), RuntimeError)  # type: ignore[no-untyped-call]
    assert ids(text) == ["no-gradient"]


def test_a_second_backward() -> None:
    x = torch.ones(2, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert ids(traceback_of(loss.backward, RuntimeError)) == ["backward-twice"]


def test_an_index_beyond_the_embedding() -> None:
    text = traceback_of(lambda: nn.Embedding(3, 2)(torch.tensor([5])), IndexError)
    assert ids(text) == ["index-out-of-range"]
    label = traceback_of(lambda: F.cross_entropy(torch.zeros(1, 3), torch.tensor([7])), IndexError)
    [answer] = limit_answer.find(tracebacks.clean(label), {})
    assert answer.title == "A label (7) is not among the model's classes"


def test_shapes_that_do_not_multiply() -> None:
    text = traceback_of(lambda: nn.Linear(512, 10)(torch.zeros(64, 1024)), RuntimeError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.title == "The layer expects 512 features, the input has 1024"


def test_drawing_from_nan() -> None:
    text = traceback_of(
        lambda: torch.multinomial(torch.tensor([float("nan"), 1.0]), 1), RuntimeError
    )
    assert ids(text) == ["probabilities-not-finite"]


def test_a_file_with_an_object() -> None:
    file = io.BytesIO()
    torch.save({"options": argparse.Namespace(x=1)}, file)
    file.seek(0)
    text = traceback_of(lambda: torch.load(file, weights_only=True), Exception)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "weights-only"
    assert "argparse.Namespace" in answer.title
    file.seek(0)
    assert torch.load(file, weights_only=False)["options"].x == 1


def test_a_pointer_instead_of_a_checkpoint() -> None:
    file = io.BytesIO(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    text = traceback_of(lambda: torch.load(file, weights_only=False), Exception)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "not-a-checkpoint"
    assert "Git LFS pointer" in answer.title


def test_shared_tensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    weight = torch.zeros(2)
    text = traceback_of(
        lambda: safetensors.save_file({"a": weight, "b": weight}, tmp_path / "x"), RuntimeError
    )
    assert ids(text) == ["shared-tensors-safetensors"]


def test_a_checkpoint_of_another_shape() -> None:
    text = traceback_of(
        lambda: nn.Linear(3, 5).load_state_dict(nn.Linear(3, 2).state_dict()), RuntimeError
    )
    assert ids(text) == ["size-mismatch"]


def test_moving_a_module_without_weights() -> None:
    text = traceback_of(lambda: nn.Linear(2, 2, device="meta").to("cpu"), NotImplementedError)
    assert ids(text) == ["meta-tensor"]


def test_an_unknown_architecture(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "model_of_2031"}')
    text = traceback_of(lambda: transformers.AutoConfig.from_pretrained(tmp_path), ValueError)
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "unknown-architecture"
    assert "model_of_2031" in answer.title


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has MPS")
def test_a_storage_of_mps_elsewhere() -> None:
    storage = torch.UntypedStorage(2)  # type: ignore[no-untyped-call]
    text = traceback_of(
        lambda: torch.serialization.default_restore_location(storage, "mps"),  # type: ignore[no-untyped-call]
        RuntimeError,
    )
    assert ids(text) == ["mps-storage-elsewhere"]


def test_a_fused_optimizer_elsewhere() -> None:
    weight = nn.Parameter(torch.ones(2, device="meta"))
    weight.grad = torch.ones_like(weight)
    text = traceback_of(torch.optim.AdamW([weight], fused=True).step, RuntimeError)
    assert ids(text) == ["fused-optimizer"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_tf32_of_training_arguments(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    text = traceback_of(
        lambda: transformers.TrainingArguments(output_dir=str(tmp_path), tf32=True), ValueError
    )
    assert ids(text) == ["tf32"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_fp8_needs_a_gpu() -> None:
    quantizers = pytest.importorskip("transformers.quantizers.quantizer_finegrained_fp8")
    quantizer = quantizers.FineGrainedFP8HfQuantizer.__new__(quantizers.FineGrainedFP8HfQuantizer)
    text = traceback_of(quantizer.validate_environment, (RuntimeError, ImportError))  # type: ignore[arg-type]
    assert ids(text) == ["quantization-for-cuda"]


def test_the_size_of_a_dtype() -> None:
    numpy = pytest.importorskip("numpy")
    two = not numpy.__version__.startswith("1.")
    assert numpy.dtype.__basicsize__ == (88 if two else 96)
    compiled, found = (96, 88) if two else (88, 96)
    text = (
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility."
        f" Expected {compiled} from C header, got {found} from PyObject"
    )
    [answer] = limit_answer.find(text, {})
    assert answer.title == (
        "A package was compiled for NumPy 1 and meets NumPy 2"
        if two
        else "A package was compiled for NumPy 2 and meets NumPy 1"
    )


def test_a_dot_is_missing() -> None:
    text = traceback_of(lambda: torch.backends.mps_is_available(), AttributeError)  # type: ignore[attr-defined]
    [answer] = limit_answer.find(tracebacks.clean(text), {})
    assert answer.id == "torch-backends-mps-misspelt"
    assert answer.do == ("write torch.backends.mps.is_available()",)


def test_sharing_what_is_not_on_the_cpu() -> None:
    storage = torch.empty(2, device="meta").untyped_storage()
    text = traceback_of(storage._share_filename_cpu_, RuntimeError)
    assert ids(text) == ["mps-share-filename"]


def test_a_module_for_a_class() -> None:
    text = traceback_of(lambda: torch.cuda.amp.autocast_mode(), TypeError)  # type: ignore[operator]
    assert ids(text) == ["autocast-mode-is-a-module"]


def test_a_replaced_loop_of_a_loader(tmp_path: Path) -> None:
    text = printed(
        """
        import accelerate
        from accelerate.data_loader import DataLoaderShard
        from torch.utils.data import DataLoader
        from metalassay import guard

        stock = DataLoaderShard.__iter__

        def handing_over(self):
            try:
                return stock(self)
            except UnboundLocalError:
                yield from self.dataset

        setattr(DataLoaderShard, "__iter__", handing_over)
        loader = accelerate.Accelerator(cpu=True).prepare(DataLoader([1, 2, 3]))
        list(guard.no_empty(loader))
        """,
        tmp_path,
    )
    assert "ZeroStepsError" in text
    assert ids(text) == ["loader-method-replaced"]
