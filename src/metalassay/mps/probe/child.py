"""The program that the probe runs in the user's Python: it prints a JSON line per stage begun or ended.

It needs only torch and the standard library (Python >= 3.8) and is passed as text, so it works where
metalassay is not installed. The lines already printed remain valid if a later stage hangs or aborts.
Errors are reported, not caught: the stage that fails is the answer.
"""

from __future__ import annotations

import sys

# `python -c` searches the working directory first, where a user's torch.py would hide torch.
sys.path[:] = [folder for folder in sys.path if folder]

import json  # noqa: E402
import platform  # noqa: E402
import subprocess  # noqa: E402
import time  # noqa: E402
from importlib import metadata  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from types import TracebackType

DEVICE = sys.argv[1] if len(sys.argv) > 1 else "mps"
stage = "python"


def report(state: str, **facts: object) -> None:
    """Write one line and flush it."""
    sys.stdout.write(json.dumps({"stage": stage, "state": state, **facts}) + "\n")
    sys.stdout.flush()


def begin(name: str) -> None:
    """Report which stage comes next."""
    global stage
    stage = name
    report("begin")


def report_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Report the error that ended the stage, and let Python print the traceback."""
    missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
    report("error", error=kind.__name__, message=str(error)[:2000], missing=missing)
    sys.__excepthook__(kind, error, trace)


def sysctl(name: str) -> str | None:
    """Return a value of macOS's sysctl; None on other systems and for an unknown name."""
    if sys.platform != "darwin":
        return None
    done = subprocess.run(  # noqa: S603
        ["/usr/sbin/sysctl", "-n", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=5,
    )
    return done.stdout.strip() or None


sys.excepthook = report_error
try:
    installed: str | None = metadata.version("torch")
except metadata.PackageNotFoundError:
    installed = None
report(
    "end",
    python=platform.python_version(),
    system=platform.system(),
    machine=platform.machine(),
    macos=platform.mac_ver()[0] or None,
    product=sysctl("kern.osproductversion"),
    translated=sysctl("sysctl.proc_translated"),
    installed=installed,
    hypervisor=sysctl("kern.hv_vmm_present"),
    chip=sysctl("machdep.cpu.brand_string"),
)

begin("import")
began = time.monotonic()
import torch  # noqa: E402

report("end", torch=str(torch.__version__), took=round(time.monotonic() - began, 3))

if DEVICE == "mps":
    begin("built")
    built = bool(torch.backends.mps.is_built())
    report("end", value=built)
    if not built:
        sys.exit(0)
    begin("available")
    available = bool(torch.backends.mps.is_available())
    report("end", value=available)
    if not available:
        begin("why")  # since torch 2.15, the error that a user would see names the cause
        torch.empty(1, device=DEVICE)
        report("end")
        sys.exit(0)


def finish(device_result: torch.Tensor, cpu_result: torch.Tensor | None = None) -> None:
    """Wait for the device, and report how far its result is from the CPU's.

    The difference is relative to the largest absolute value of the CPU's result.
    """
    if DEVICE == "mps":
        torch.mps.synchronize()
    difference = 0.0
    if cpu_result is not None:
        result = device_result.detach().cpu()
        largest = cpu_result.detach().abs().max().item()
        difference = (result - cpu_result.detach()).abs().max().item() / largest
    # NaN fails every comparison, so it counts as wrong. JSON has no NaN, so it is sent as text.
    right = difference < 1e-3
    report("end" if right else "wrong", difference=difference if right else str(difference))
    if not right:
        sys.exit(0)


begin("allocate")
finish(torch.empty(64, dtype=torch.float32, device=DEVICE))  # 256 bytes

begin("product")
ones = torch.ones(8, 8)
finish(ones.to(DEVICE) @ ones.to(DEVICE), ones @ ones)

if DEVICE == "mps":
    begin("name")
    get_name = getattr(torch.backends.mps, "get_name", None)  # from torch 2.9
    report("end", gpu=str(get_name()) if get_name else None)

torch.manual_seed(0)
begin("conv2d")
image, kernel = torch.randn(4, 3, 64, 64), torch.randn(16, 3, 3, 3)
conv2d = torch.nn.functional.conv2d
finish(conv2d(image.to(DEVICE), kernel.to(DEVICE), padding=1), conv2d(image, kernel, padding=1))

begin("matmul")
left, right = torch.randn(512, 512), torch.randn(512, 512)
finish(left.to(DEVICE) @ right.to(DEVICE), left @ right)

begin("inverse")
# Far from singular, so that rounding is no reason to differ; it runs other shaders than a product.
square = left @ left.T / 512 + torch.eye(512)
finish(torch.linalg.inv(square.to(DEVICE)), torch.linalg.inv(square))

begin("softmax")
rows = torch.randn(64, 256)
finish(
    torch.softmax(torch.nn.functional.layer_norm(rows.to(DEVICE), (256,)), -1),
    torch.softmax(torch.nn.functional.layer_norm(rows, (256,)), -1),
)


def step(device: str) -> torch.Tensor:
    """Return the weights of a small network, flattened, after one step of gradient descent."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))
    data = torch.randn(16, 32)
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    net(data.to(device)).pow(2).mean().backward()
    optimizer.step()
    return torch.cat([weights.detach().flatten() for weights in net.parameters()])


begin("backward")
finish(step(DEVICE), step("cpu"))

stage = "done"
report("end")
