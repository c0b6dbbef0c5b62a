"""The options of an emulation, each in a process of its own: a process has one emulation at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAD = "import torch\nfrom metalassay.mps.emulator import current, emulate_mps\n"


def run(code: str, **env: str) -> str:
    """Run Python code without the emulation of these tests; return its stdout and stderr."""
    clean = {name: value for name, value in os.environ.items() if name != "METALASSAY_EMULATED_MPS"}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", HEAD + code],
        capture_output=True,
        text=True,
        env={**clean, **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_emulation_ends_with_its_block_and_can_start_again() -> None:
    out = run(
        "assert not torch.backends.mps.is_available()\n"
        "torch.ones(1, requires_grad=True).sum().backward()\n"  # the engine has now counted devices
        "for _ in range(3):\n"
        "    with emulate_mps():\n"
        "        torch.ones(2, device='mps', requires_grad=True).sum().backward()\n"
        "    assert current() is None\n"
        "    assert not torch.backends.mps.is_available()\n"
        "    assert not torch.backends.mps.is_built()\n"
        "    try: torch.ones(1, device='mps')\n"
        "    except (RuntimeError, NotImplementedError): pass\n"
        "    else: raise AssertionError\n"
    )
    assert out.count("mps is emulated on the CPU") == 3


def test_two_emulations_at_once_are_an_error() -> None:
    out = run(
        "from metalassay.errors import UserError\n"
        "with emulate_mps():\n"
        "    try:\n"
        "        with emulate_mps(): pass\n"
        "    except UserError as error: print(error)\n"
    )
    assert "already emulated" in out


@pytest.mark.parametrize(
    ("version", "issue", "qr"), [("2.5", "77764", "missing"), ("2.12", "141287", "kernel")]
)
def test_another_release_has_its_own_kernels_and_messages(
    version: str, issue: str, qr: str
) -> None:
    out = run(
        f"with emulate_mps('{version}'):\n"
        "    x = torch.eye(3, device='mps')\n"
        "    try: torch.mode(x)\n"
        "    except NotImplementedError as error: print(error)\n"
        "    try: torch.linalg.qr(x); print('kernel')\n"
        "    except NotImplementedError: print('missing')\n"
    )
    assert f"issues/{issue}" in out
    assert out.split("metalassay:")[0].split()[-1] == qr


def test_the_variable_is_read_when_torch_is_imported_and_not_later() -> None:
    code = (
        "with emulate_mps():\n    x = torch.mode(torch.ones(3, device='mps'))\n    print(x.values)"
    )
    out = run(code, PYTORCH_ENABLE_MPS_FALLBACK="1")
    assert "'aten::mode' is not currently supported on the MPS backend and will fall back" in out
    assert "device='mps:0'" in out
    late = "import os; os.environ['PYTORCH_ENABLE_MPS_FALLBACK'] = '1'\n"
    out = run(f"{late}try:\n    exec({code!r})\nexcept NotImplementedError: print('as on a Mac')")
    assert "as on a Mac" in out


def test_too_much_memory_raises_the_error_of_a_mac() -> None:
    out = run(
        "with emulate_mps('2.13', memory=100 * 2**20):\n"
        "    x = torch.ones(2**20, device='mps')\n"
        "    try: torch.empty(2**26, device='mps')\n"
        "    except RuntimeError as error: print(type(error).__name__, error)\n"
        "    torch.mps.set_per_process_memory_fraction(0.0)\n"
        "    torch.empty(2**26, device='mps')\n"
    )
    assert (
        "RuntimeError MPS backend out of memory (MPS allocated: 4.00 MB, other allocations: 0 bytes,"
        " max allowed: 170.00 MB). Tried to allocate 256.00 MB on shared pool. Use"
        " PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may"
        " cause system failure)."
    ) in out


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        ("0.7", "invalid low watermark ratio 1.4"),
        ("3", "invalid high watermark ratio 3"),
        ("0", ""),
    ],
)
def test_watermarks_are_read_at_the_first_allocation(high: str, expected: str) -> None:
    out = run(
        "import os\n"
        "try:\n"
        "    with emulate_mps(memory=2**20):\n"
        "        print(torch.ones(2**20, device='mps').shape)\n"
        "except RuntimeError as error: print(error)\n",
        PYTORCH_MPS_HIGH_WATERMARK_RATIO=high,
    )
    assert (expected or "torch.Size([1048576])") in out


def test_watermarks_have_an_effect_only_if_set_before_the_first_tensor() -> None:
    out = run(
        "import os\n"
        "with emulate_mps():\n"
        "    os.environ['PYTORCH_MPS_HIGH_WATERMARK_RATIO'] = '9.0'\n"
        "    try: torch.ones(1, device='mps')\n"
        "    except RuntimeError as error: print('first:', error)\n"
        "    os.environ['PYTORCH_MPS_HIGH_WATERMARK_RATIO'] = '1.5'\n"
        "    torch.ones(1, device='mps')\n"
        "    os.environ['PYTORCH_MPS_HIGH_WATERMARK_RATIO'] = '9.0'\n"
        "    print('later:', torch.ones(1, device='mps').item())\n"
    )
    assert "first: invalid high watermark ratio 9" in out
    assert "later: 1.0" in out


@pytest.mark.parametrize(("options", "state"), [("", "usable"), ("dead=True", "dead")])
def test_the_probe_reports_whether_the_device_works(options: str, state: str) -> None:
    from metalassay.mps.probe import parent

    script = Path(parent.__file__).with_name("child.py").read_text("utf-8")
    code = (
        "import sys\n"
        "sys.argv = ['-c', 'mps']\n"
        f"with emulate_mps({options}): exec({script!r}, {{'__name__': '__main__'}})\n"
    )
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    answer = parent.Answer(tuple(lines), done.returncode, None, done.stderr)
    assert parent.classify(answer).state == state


def test_a_dead_device_is_available_and_allocates_nothing() -> None:
    out = run(
        "from metalassay.measure import device\n"
        "with emulate_mps(dead=True):\n"
        "    assert torch.backends.mps.is_available()\n"
        "    try: torch.ones(1, device='mps')\n"
        "    except RuntimeError as error: print(error)\n"
        "    print(device.resolve('auto'))\n"
    )
    assert "max allowed: 7.93 GB). Tried to allocate 256 bytes on shared pool" in out
    assert "\ncpu\n" in out


def test_a_thousand_models_leave_no_memory_behind() -> None:
    run(
        "import gc, os\n"
        "def resident():\n"
        "    gc.collect()\n"
        "    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "def work():\n"
        "    for _ in range(250):\n"
        "        net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.LayerNorm(64)).to('mps')\n"
        "        net(torch.randn(64, 64, device='mps')).sum().backward()\n"
        "        x = torch.empty(0, device='mps'); torch.add(net[0].weight.detach(), 1, out=x)\n"
        "        x.resize_(10_000); torch.eye(8, device='mps').sort()\n"
        "with emulate_mps():\n"
        "    work(); before = resident()\n"
        "    for _ in range(3): work()\n"
        "    grown = resident() - before\n"
        "    assert torch.mps.current_allocated_memory() == 0\n"
        "    assert grown < 4_000_000, grown\n"
    )


@pytest.mark.parametrize("version", ["2.3", "2.5"])
def test_what_only_the_installed_torch_calls_does_not_fail_for_an_older_release(
    version: str,
) -> None:
    # Attention with gradients asks for isneginf since 2.6; 2.5 and older have no kernel for it.
    out = run(
        f"with emulate_mps('{version}'):\n"
        "    q = torch.randn(1, 2, 4, 8, device='mps', requires_grad=True)\n"
        "    mask = torch.ones(4, 4, dtype=torch.bool, device='mps')\n"
        "    for each in (None, mask):\n"
        "        torch.nn.functional.scaled_dot_product_attention(q, q, q, each).sum().backward()\n"
        "    print(q.grad.shape)\n"
        "    try: torch.isneginf(q)\n"
        "    except NotImplementedError as error: print('missing', error)\n"
    )
    assert "torch.Size([1, 2, 4, 8])" in out
    assert "missing The operator 'aten::isneginf.out' is not currently implemented" in out
    assert "cannot tell" not in out


def test_the_emulation_says_what_it_cannot_tell() -> None:
    out = run(
        "with emulate_mps('2.3'):\n    torch._safe_softmax(torch.ones(2, 2, device='mps'), 1)\n"
    )
    assert "cannot tell whether torch 2.3.1 would call 'aten::isneginf.out' on MPS here" in out


def test_half_precision_is_computed_in_float32_where_the_cpu_has_no_kernel() -> None:
    out = run(
        "a, b = torch.rand(3, 4), torch.rand(5, 4)\n"
        "with emulate_mps('2.13'):\n"
        "    half = torch.cdist(a.half().to('mps'), b.half().to('mps'))\n"
        "    expected = torch.cdist(a.half().float(), b.half().float()).half()\n"
        "    assert half.dtype == torch.float16 and torch.equal(half.cpu(), expected)\n"
        "    polar = torch.polar(a.half().to('mps'), a.half().to('mps'))\n"
        "    assert polar.dtype == torch.complex32, polar.dtype\n"
        "    same = torch.nn.functional.avg_pool3d(torch.ones(1, 1, 2, 2, 2, device='mps').half(), 2)\n"
        "    assert same.item() == 1 and same.dtype == torch.float16\n"
        "    print('computed')\n"
    )
    assert "computed" in out


def test_a_dtype_is_refused_where_pytorch_expects_every_call_to_fail() -> None:
    out = run(
        "with emulate_mps('2.13'):\n"
        "    for dtype in (torch.int64, torch.float16):\n"
        "        x = torch.ones(1, 1, 4, 4, device='mps').to(dtype)\n"
        "        try: print(torch.nn.functional.conv2d(x, x).item())\n"
        "        except RuntimeError as error: print('refused', error)\n"
        "    print(torch.ceil(torch.tensor([True, False], device='mps')))\n"
    )
    assert "refused aten::_convolution does not take int64 on MPS in torch 2.13.0" in out
    assert "\n16.0\n" in out
    assert "tensor([ True, False], device='mps:0')" in out


def test_nothing_is_known_about_the_dtypes_of_a_release_without_lists() -> None:
    out = run(
        "with emulate_mps('2.5'):\n"
        "    x = torch.ones(1, 1, 4, 4, device='mps').long()\n"
        "    print(torch.nn.functional.conv2d(x, x).item())\n"
    )
    assert "16" in out.split()
