"""Claims of guides about torch, checked on any machine unless the test's name says otherwise.

The claims of claims/data/ refer to these tests, which use the guides' settings but not their code.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import os
import platform
import subprocess
import sys
from typing import Any

import mps_processes
import pytest

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

HALF_OF_A_MODEL = """
import torch
branch, hidden = torch.nn.Linear(8, 8).to(d), torch.nn.Linear(8, 4).to(d)
x = torch.ones(2, 8, device=d)
with torch.autocast(d, dtype=dtype): x = branch(x)
{around}hidden(x)
"""
SAME_TYPE = "must have the same dtype|[Ee]xpected.*dtype|scalar type"


def test_uv_reads_its_python_preference(uv_programs: list[bytes]) -> None:
    for variable in (b"UV_PYTHON_PREFERENCE", b"only-managed"):
        assert all(variable in program for program in uv_programs)


ENCODE_AND_FORK = """
import os, signal, psutil
FORKS_ON_PURPOSE = True
from tokenizers import Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()

def threads_added():
    before = psutil.Process().num_threads()
    tokenizer.encode_batch(["a " * 50] * 200)
    return psutil.Process().num_threads() - before

print(threads_added(), flush=True)
if os.fork() == 0:
    signal.alarm(5)  # a child that waits for threads that were not forked ends here
    print(threads_added(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize(
    ("value", "parallel_in_child"),
    [
        pytest.param(None, False, id="unset"),
        pytest.param("false", False, id="false"),
        # The child waits for ever, and is ended after five seconds.
        pytest.param("true", True, id="true", marks=pytest.mark.slow),
    ],
)
def test_tokenizers_read_their_parallelism_variable(
    value: str | None, parallel_in_child: bool
) -> None:
    if importlib.util.find_spec("tokenizers") is None:
        pytest.skip("tokenizers is not installed")
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    environment.update({"TOKENIZERS_PARALLELISM": value} if value else {})
    done = subprocess.run(
        [sys.executable, "-c", ENCODE_AND_FORK],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    parent, *child = map(int, done.stdout.split())
    assert (parent > 0) is (value != "false")
    # With "true" the forked child works in parallel again, or waits for ever and prints nothing.
    assert (child != [0]) is parallel_in_child


def test_the_guides_monitor_reads_what_macos_prints() -> None:
    if sys.platform != "darwin":
        pytest.skip(f"runs macOS's top and memory_pressure; this is {platform.system()}")

    def line(words: str, *command: str) -> list[str]:
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return next(line for line in printed.splitlines() if words in line).split()

    usage = line("CPU usage", "/usr/bin/top", "-l", "1", "-s", "0")
    assert usage[2].endswith("%")
    assert usage[3].startswith("user")
    free = line("System-wide memory free percentage", "/usr/bin/memory_pressure")
    assert free[4].endswith("%")
    assert 0 <= int(free[4].rstrip("%")) <= 100


def test_a_model_of_two_inputs_refuses_one_input_with_a_type_error() -> None:
    import torch

    from metalassay.workloads.models.two_branch_cnn import TwoBranchCNN

    with pytest.raises(TypeError) as raised:
        TwoBranchCNN()(torch.zeros(2, 1, 201))
    assert not isinstance(raised.value, RuntimeError)


@pytest.mark.slow
def test_the_two_branch_cnn_has_the_flop_and_bytes_that_the_arithmetic_assumes() -> None:
    import torch

    from metalassay.claims import arithmetic
    from metalassay.workloads import flop_counter, registry

    per_sample = {
        "train": (arithmetic.TRAIN_FLOP, arithmetic.TRAIN_BYTES),
        "infer": (arithmetic.INFER_FLOP, arithmetic.INFER_BYTES),
    }
    for mode, (flop, (least, most)) in per_sample.items():
        work = registry.make(registry.get("transit-cnn"), mode, torch.device("cpu"), "float32", 64)
        counted = flop_counter.count(work.step)
        assert counted.flop / 64 == pytest.approx(flop, rel=1e-3)
        # Releases of torch divide the work into operators differently.
        assert 0.9 * least < counted.bytes / 64 < 1.1 * most


def half_of_a_model(device: str, dtype: str, around: str = "") -> str:
    """Return a program that runs one layer under autocast and the next one within ``around``."""
    code = HALF_OF_A_MODEL.replace("{around}", around)
    return f"d = {device!r}\n" + code.replace("dtype=dtype", f"dtype=torch.{dtype}")


def test_the_output_of_autocast_does_not_fit_a_layer_outside_it() -> None:
    with pytest.raises(RuntimeError, match=SAME_TYPE):
        exec(half_of_a_model("cpu", "bfloat16"), {})  # noqa: S102 - the program is above
    around = "with torch.autocast(d, dtype=dtype): "
    exec(half_of_a_model("cpu", "bfloat16", around), {})  # noqa: S102


@pytest.mark.slow
@pytest.mark.mps
def test_half_a_model_under_float16_autocast_fails_on_mps() -> None:
    mps_processes.require_mps()
    with pytest.raises(RuntimeError, match=SAME_TYPE):
        mps_processes.run("-c", half_of_a_model("mps", "float16"))


def one_cycle() -> tuple[list[float], list[float]]:
    """Return the learning rates and the first betas of 500 steps with guide 002's settings."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([weight], lr=1e-3, weight_decay=1e-4, betas=(0.9, 0.999))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=5e-3,
        epochs=50,
        steps_per_epoch=10,
        pct_start=0.1,
        div_factor=25,
        final_div_factor=1000,
    )
    rates, betas = [], []
    for _ in range(500):
        rates.append(optimizer.param_groups[0]["lr"])
        betas.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        if len(rates) < 500:
            schedule.step()
    return rates, betas


@pytest.mark.slow
def test_the_betas_are_the_defaults_and_one_cycle_overrides_them() -> None:
    import torch

    default = inspect.signature(torch.optim.AdamW).parameters["betas"].default
    assert default == (0.9, 0.999)
    _, betas = one_cycle()
    assert betas[0] == pytest.approx(0.95)
    assert min(betas) == pytest.approx(0.85)


@pytest.mark.slow
def test_one_cycle_sets_its_own_initial_rate_and_warms_up_for_a_tenth() -> None:
    rates, _ = one_cycle()
    assert rates[0] == pytest.approx(2e-4)
    assert max(rates) == pytest.approx(5e-3)
    assert rates.index(max(rates)) == 49


@pytest.mark.slow
def test_gradients_are_set_to_none_by_default() -> None:
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    torch.optim.AdamW([weight]).zero_grad()
    assert weight.grad is None


@pytest.mark.slow
def test_persistent_workers_need_workers_and_survive_a_pass() -> None:
    from torch.utils.data import DataLoader

    with pytest.raises(ValueError, match="persistent_workers option needs num_workers > 0"):
        DataLoader([1], persistent_workers=True)  # type: ignore[arg-type]
    loader: Any = DataLoader([1], num_workers=1, persistent_workers=True)  # type: ignore[arg-type]
    first, second = iter(loader), iter(loader)
    assert first is second
    del loader, first, second


def test_workers_prefetch_two_batches_by_default() -> None:
    from torch.utils.data import DataLoader

    assert DataLoader([1], num_workers=1).prefetch_factor == 2  # type: ignore[arg-type]


def test_drop_last_can_leave_no_batch() -> None:
    from torch.utils.data import DataLoader

    assert len(DataLoader(range(5), batch_size=4, drop_last=True)) == 1  # type: ignore[arg-type]
    assert list(DataLoader(range(3), batch_size=4, drop_last=True)) == []  # type: ignore[arg-type]


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_the_large_batch() -> None:
    import torch
    from torch.nn import functional

    torch.manual_seed(0)
    layer, x, y = torch.nn.Linear(5, 1), torch.randn(16, 5), torch.randn(16, 1)
    functional.mse_loss(layer(x), y).backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    whole = layer.weight.grad.clone()
    layer.weight.grad = None
    for part in range(4):
        rows = slice(4 * part, 4 * part + 4)
        (functional.mse_loss(layer(x[rows]), y[rows]) / 4).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(layer.weight.grad, whole)


def test_the_guides_loss_has_no_label_smoothing() -> None:
    from torch.nn import functional

    takes = inspect.signature(functional.binary_cross_entropy_with_logits).parameters
    assert "label_smoothing" not in takes
    assert "label_smoothing" in inspect.signature(functional.cross_entropy).parameters


def test_torch_has_no_extra_for_cuda() -> None:
    extras = importlib.metadata.metadata("torch").get_all("Provides-Extra") or []
    assert "cuda" not in extras


@pytest.mark.slow
def test_importing_torch_takes_more_than_100_megabytes() -> None:
    code = "import torch, psutil; print(psutil.Process().memory_info().rss)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(child.stdout) > 100 * 2**20
