"""A loop that keeps each loss with its graph, a common leak: `losses.append(loss)` instead of `loss.item()`."""

import time

import torch

model = torch.nn.Sequential(*[torch.nn.Linear(512, 512) for _ in range(4)])
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)


def train() -> None:
    """Train for fifteen minutes, or until the memory is gone."""
    losses = []
    end = time.time() + 900
    while time.time() < end:
        batch = torch.randn(64, 512)
        loss = (model(batch) - batch).square().mean()
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        optimizer.step()
        losses.append(loss)
        time.sleep(0.2)


train()
