"""A recorded program finds no MPS, and what it asks of torch.mps has an answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metalassay.mps.preflight import recording

FOLDER = Path(recording.__file__).parent
# In a process of its own, because it changes torch.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
import torch
for owner in (torch.backends.mps, torch.mps, torch.accelerator):
    for name in ("is_available", "device_count", "current_accelerator"):
        if hasattr(owner, name):
            setattr(owner, name, lambda *_, **__: True)  # as on a Mac
import child_devices
child_devices.hide_mps()
assert not torch.backends.mps.is_available()
assert not torch.mps.is_available()
assert not torch.accelerator.is_available()
assert (torch.mps.device_count(), torch.accelerator.device_count()) == (0, 0)
assert torch.accelerator.current_accelerator() is None
assert child_devices.asked == [2]
torch.mps.synchronize()
torch.mps.manual_seed(0)
assert torch.mps.current_allocated_memory() == 0
assert torch.equal(torch.mps.get_rng_state(), torch.get_rng_state())
torch._dynamo  # which refuses one function under two names
torch.optim.SGD([torch.ones(1)], lr=0.1)
"""


def test_a_program_on_a_mac_chooses_the_cpu() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
