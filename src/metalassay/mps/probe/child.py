"""What the probe runs in a Python of the user's: one JSON line when a stage begins, one at its end.

Self-contained: torch and the standard library, Python >= 3.8, and handed over as text, so that it
works where metalassay is not installed. What it has said stands when a later stage hangs or aborts.
An error is not caught but told: the stage that it ends is the answer.
"""

from __future__ import annotations

import sys

# `python -c` looks for modules in the working directory first: a user's torch.py is not torch.
sys.path[:] = [folder for folder in sys.path if folder]

import json  # noqa: E402
import platform  # noqa: E402
import subprocess  # noqa: E402
from importlib import metadata  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

if TYPE_CHECKING:
    from types import TracebackType

DEVICE = sys.argv[1] if len(sys.argv) > 1 else "mps"
stage = "python"


def say(state: str, **facts: object) -> None:
    """Write one line at once."""
    sys.stdout.write(json.dumps({"stage": stage, "state": state, **facts}) + "\n")
    sys.stdout.flush()


def begin(name: str) -> None:
    """Say what is tried next."""
    global stage
    stage = name
    say("begin")


def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say which error ended the stage, and leave the traceback to Python."""
    missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
    say("error", error=kind.__name__, message=str(error)[:2000], missing=missing)
    sys.__excepthook__(kind, error, trace)


def sysctl(name: str) -> str | None:
    """Return a value of macOS's sysctl, or None elsewhere and for a name that it does not know."""
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


sys.excepthook = tell
try:
    installed: str | None = metadata.version("torch")
except metadata.PackageNotFoundError:
    installed = None
say(
    "end",
    python=platform.python_version(),
    system=platform.system(),
    machine=platform.machine(),
    macos=platform.mac_ver()[0] or None,
    installed=installed,
    hypervisor=sysctl("kern.hv_vmm_present"),
    chip=sysctl("machdep.cpu.brand_string"),
)

begin("import")
import torch  # noqa: E402

say("end", torch=str(torch.__version__))

if DEVICE == "mps":
    begin("built")
    built = bool(torch.backends.mps.is_built())
    say("end", value=built)
    if not built:
        sys.exit(0)
    begin("available")
    available = bool(torch.backends.mps.is_available())
    say("end", value=available)
    if not available:
        begin("why")  # the error that a user would meet names the cause, from torch 2.15 on
        torch.empty(1, device=DEVICE)
        say("end")
        sys.exit(0)


def finish(device_result: torch.Tensor, cpu_result: torch.Tensor | None = None) -> None:
    """Wait for the device, hold its result against the CPU's and say by how much they differ."""
    if DEVICE == "mps":
        torch.mps.synchronize()
    difference = 0.0
    if cpu_result is not None:
        got = device_result.detach().cpu()
        largest = cpu_result.detach().abs().max().item()
        difference = (got - cpu_result.detach()).abs().max().item() / largest
    # NaN fails every comparison, so it is wrong as well. JSON has no NaN: it goes as text.
    right = difference < 1e-3
    say("end" if right else "wrong", difference=difference if right else str(difference))
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
    say("end", gpu=str(get_name()) if get_name else None)

torch.manual_seed(0)
begin("conv2d")
image, kernel = torch.randn(4, 3, 64, 64), torch.randn(16, 3, 3, 3)
conv2d = torch.nn.functional.conv2d
finish(conv2d(image.to(DEVICE), kernel.to(DEVICE), padding=1), conv2d(image, kernel, padding=1))

begin("matmul")
left, right = torch.randn(512, 512), torch.randn(512, 512)
finish(left.to(DEVICE) @ right.to(DEVICE), left @ right)

begin("softmax")
rows = torch.randn(64, 256)
finish(
    torch.softmax(torch.nn.functional.layer_norm(rows.to(DEVICE), (256,)), -1),
    torch.softmax(torch.nn.functional.layer_norm(rows, (256,)), -1),
)


def step(device: str) -> torch.Tensor:
    """Return the weights of a small network after one step of gradient descent."""
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
say("end")
