"""A loop of one's own that saves when `metalassay run` asks for it, and continues where it was."""

import time
from pathlib import Path

import torch

from metalassay import keepalive

checkpoint = Path("own_loop.pt")
model = torch.nn.Linear(512, 512)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
first = 0
if checkpoint.exists():
    saved = torch.load(checkpoint)
    model.load_state_dict(saved["model"])
    first = saved["step"] + 1
    print(f"continuing at step {first}", flush=True)

held = []  # grows, so that something has to happen
for step in range(first, 400):
    loss = model(torch.randn(64, 512)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if first == 0:
        held.append(torch.randn(2**20))
    time.sleep(0.02)
    if reason := keepalive.checkpoint_wanted():
        torch.save({"model": model.state_dict(), "step": step}, checkpoint)
        keepalive.saved(checkpoint, step)
        print(f"saved at step {step}", flush=True)
        break
else:
    print("finished")
