"""Environment variables and settings that guides recommend for a Mac, and what they really do.

The claims of claims/data/ refer to these tests. Where possible a test needs no Mac. Variables are read
when torch is imported or first used, so each setting gets a process of its own.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
import warnings
from pathlib import Path

import mps_processes
import pytest
from packaging.specifiers import SpecifierSet

from metalassay.environment import versions
from metalassay.machine import hardware

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

TORCH = versions.installed()["torch"]
HIGH, LOW = "PYTORCH_MPS_HIGH_WATERMARK_RATIO", "PYTORCH_MPS_LOW_WATERMARK_RATIO"
WATERMARK = "mps-high-watermark-alone"
BFLOAT16 = "torch-autocast-mps-bfloat16-off"
USE = "import torch; print(torch.ones(4, device='mps').sum().item(), end='')"
# Allocates 3 % of what Metal recommends; the tests set the limit to 1 %.
FILL = """
import torch
recommended = getattr(torch.mps, "recommended_max_memory", lambda: 10 * 2**30)()
torch.empty(int(recommended * 0.03), dtype=torch.uint8, device="mps")
"""


def torch_is(text: str) -> bool:
    """Return whether the installed torch is one of these versions."""
    return SpecifierSet(text).contains(TORCH, prereleases=True)


def on_mps(code: str, **env: str) -> str:
    """Run the code on MPS, or skip the test, with these watermarks and no others."""
    mps_processes.require_mps()
    printed: str = mps_processes.run("-c", code, env={HIGH: None, LOW: None, **env})
    return printed


@pytest.mark.slow
@pytest.mark.mps
def test_watermark_zero_leaves_mps_in_use() -> None:
    assert on_mps(USE, **{HIGH: "0.0"}) == "4.0"


@pytest.mark.slow
@pytest.mark.mps
def test_watermark_zero_removes_the_limit() -> None:
    on_mps(FILL, **{HIGH: "0.0", LOW: "0.0"})
    with pytest.raises(RuntimeError, match="MPS backend out of memory"):
        on_mps(FILL, **{HIGH: "0.01", LOW: "0.0"})


@pytest.mark.slow
@pytest.mark.mps
def test_watermarks_are_read_at_the_first_tensor() -> None:
    setting = f"import os, torch; os.environ['{HIGH}'] = '9.0'\n"
    with pytest.raises(RuntimeError, match="invalid high watermark ratio"):
        on_mps(setting + USE)
    assert on_mps("import torch; torch.ones(1, device='mps')\n" + setting + USE) == "4.0"


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.bug(WATERMARK, symptom="refused")
def test_a_lower_memory_limit_alone_is_accepted(upstream: str) -> None:
    assert on_mps(USE, **{HIGH: "0.7"}) == "4.0"


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.bug(WATERMARK)
def test_a_lower_memory_limit_with_a_low_watermark_below_it_is_accepted(upstream: str) -> None:
    assert on_mps(USE, **{HIGH: "0.7", LOW: "0.5"}) == "4.0"


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("mps", marks=pytest.mark.mps)])
def test_invalid_settings_of_the_cuda_allocator_are_ignored(device: str) -> None:
    if device == "mps":
        mps_processes.require_mps()
    code = USE.replace("mps", device)
    printed = mps_processes.run("-c", code, env={"PYTORCH_CUDA_ALLOC_CONF": "no_such_option:1"})
    assert printed == "4.0"


def test_a_mac_has_no_allocator_with_arenas() -> None:
    if sys.platform != "darwin":
        pytest.skip(f"inspects macOS's C library; this is {platform.system()}")
    # glibc's mallopt sets the number of arenas, as MALLOC_ARENA_MAX does.
    assert not hasattr(ctypes.CDLL(None), "mallopt")


@pytest.mark.slow
def test_mkl_num_threads_decides_and_numexpr_does_not() -> None:
    def threads(**env: str) -> str:
        clean = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"))
        code = "import torch; print(torch.get_num_threads(), end='')"
        printed: str = mps_processes.run("-c", code, env={**clean, **env})
        return printed

    assert threads(OMP_NUM_THREADS="2", MKL_NUM_THREADS="1") == "1"
    assert threads(OMP_NUM_THREADS="1", MKL_NUM_THREADS="2", NUMEXPR_NUM_THREADS="1") == "2"


def hub_sources() -> list[str]:
    """Return the texts of huggingface_hub's source files."""
    spec = importlib.util.find_spec("huggingface_hub")
    if spec is None or spec.origin is None:
        pytest.skip("huggingface_hub is not installed")
    return [path.read_text("utf-8") for path in Path(spec.origin).parent.rglob("*.py")]


def test_the_hub_reads_no_cache_size() -> None:
    assert not any("HF_HUB_CACHE_SIZE" in text for text in hub_sources())


def test_the_hub_reads_its_download_timeout() -> None:
    assert any('get("HF_HUB_DOWNLOAD_TIMEOUT")' in text for text in hub_sources())


def test_uv_reads_no_worker_count(uv_programs: list[bytes]) -> None:
    assert not any(b"UV_WORKER_COUNT" in program for program in uv_programs)


def test_mps_has_get_name_but_no_get_device_name() -> None:
    import torch

    assert not hasattr(torch.backends.mps, "get_device_name")
    assert not hasattr(torch.mps, "get_device_name")
    assert hasattr(torch.backends.mps, "get_name") is torch_is(">=2.9")


@pytest.mark.bug(BFLOAT16, symptom="off")
def test_autocast_takes_bfloat16(upstream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    # From torch 2.6 to 2.12 the answer depends on macOS 14.
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_: True, raising=False)
    assert autocast(torch.bfloat16), "autocast to bfloat16 is silently off"


@pytest.mark.bug(BFLOAT16)
def test_autocast_takes_float16(upstream: str) -> None:
    import torch

    assert autocast(torch.float16)


def autocast(dtype: object) -> bool:
    """Return whether autocast to this type is on, without its warning."""
    import torch

    if not torch_is(">=2.5"):
        pytest.skip("torch below 2.5 refuses any autocast on MPS")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autocast("mps", dtype=dtype):  # type: ignore[arg-type]
            return torch.is_autocast_enabled("mps")


@pytest.mark.slow
@pytest.mark.mps
def test_autocast_computes_in_float16() -> None:
    if not torch_is(">=2.5"):
        pytest.skip("torch below 2.5 refuses any autocast on MPS")
    code = """
import torch
x = torch.ones(8, 8, device="mps")
with torch.autocast("mps", dtype=torch.float16): print((x @ x).dtype, end="")
"""
    assert on_mps(code) == "torch.float16"


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.bug("mps-gradscaler-float64", symptom="float64")
def test_the_scaler_of_torch_amp_scales_on_mps(upstream: str) -> None:
    if not torch_is(">=2.3"):
        pytest.skip("torch below 2.3 has no torch.amp.GradScaler")
    code = """
import torch
weight = torch.ones(4, device="mps", requires_grad=True)
scaler = torch.amp.GradScaler("mps")
optimizer = torch.optim.SGD([weight], lr=0.5)
scaler.scale(weight.sum()).backward()
scaler.step(optimizer)
scaler.update()
print(weight.sum().item(), end="")
"""
    assert on_mps(code) == "2.0"


@pytest.mark.slow
def test_a_profile_with_the_cuda_activity_records_only_the_cpu() -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile

    assert "MPS" not in ProfilerActivity.__members__
    if torch.cuda.is_available():
        pytest.skip("has a CUDA GPU, which is profiled")
    with (
        pytest.warns(UserWarning, match="CUDA is not available, disabling CUDA profiling"),
        profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled,
    ):
        torch.ones(3).sum()
    assert "aten::sum" in {event.key for event in profiled.key_averages()}


@pytest.mark.parametrize(
    ("affected", "words"),
    [
        ("<2.7", None),
        (">=2.7,<2.9", "not supported on MPS now, then device pinned memory won't be used"),
        (">=2.9", "not supported on MPS now, device pinned memory won't be used"),
    ],
)
def test_a_loader_pins_no_memory_for_mps(
    affected: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from torch.utils.data import DataLoader

    if not torch_is(affected):
        pytest.skip(f"applies to torch {affected}; this is {TORCH}")
    if torch.cuda.is_available():
        pytest.skip("has a CUDA GPU, for which memory is pinned")
    if hasattr(torch, "accelerator"):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
        device = torch.device("mps")
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *_, **__: device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (batch,) = DataLoader([1.0], pin_memory=True)  # type: ignore[arg-type]
    assert not batch.is_pinned()
    messages = [str(warning.message) for warning in caught if "pin_memory" in str(warning.message)]
    assert bool(messages) is bool(words)
    assert all(words in text for text in messages if words)


@pytest.mark.slow
@pytest.mark.mps
def test_mps_is_the_gpu() -> None:
    """The device has the GPU's name and number of cores.

    The Neural Engine has 16 cores on every M chip, so the number proves nothing for a GPU with 16.
    """
    if not torch_is(">=2.9"):
        pytest.skip("torch below 2.9 does not report the GPU's name")
    printed = on_mps(
        "import torch.backends.mps as m; print(m.get_core_count(), m.get_name(), end='')"
    )
    cores, _, name = printed.partition(" ")
    machine = hardware.probe()
    assert name.startswith("Apple")
    assert machine.gpu_cores is None or int(cores) == machine.gpu_cores


MULTIPLY = """
import time, torch
a = torch.rand(2048, 2048)
a @ a
wall, cpu = time.perf_counter(), time.process_time()
for _ in range(20): a @ a
print((time.process_time() - cpu) / (time.perf_counter() - wall), end="")
"""


@pytest.mark.slow
def test_veclib_threads_caps_the_threads_of_accelerate() -> None:
    if sys.platform != "darwin":
        pytest.skip(f"Accelerate is a framework of macOS; this is {platform.system()}")

    def cores(value: str | None) -> float:
        return float(mps_processes.run("-c", MULTIPLY, env={"VECLIB_MAXIMUM_THREADS": value}))

    one, free = cores("1"), cores(None)
    assert one < 1.3
    assert free > one + 0.3
