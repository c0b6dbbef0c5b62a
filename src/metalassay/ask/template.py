"""The file that a user writes: a template with comments."""

from __future__ import annotations

BY_HAND = "python -i FILE, then call make(2) and loss(*make(2)) by hand"
"""What to try where a function of the file fails: running the file calls none of them."""

PLAIN = '''\
"""What `metalassay ask` runs: a model, an example batch, and a loss."""

import torch
from torch import nn


def make(batch_size):
    """Return the model and a batch of that many samples, both on the CPU.

    They are moved by who asks. Seeds are set before each call, so that random weights and data are
    the same every time.
    """
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
    batch = {"x": torch.randn(batch_size, 32), "y": torch.randint(4, (batch_size,))}
    return model, batch


def loss(model, batch):
    """Return one number to train on. Without this function, model(batch) is trained on."""
    return nn.functional.cross_entropy(model(batch["x"]), batch["y"])
'''

MODULE = '''\
"""What `metalassay ask` runs: the model of {module}, and an example batch."""

import torch

from {module} import {name}


def make(batch_size):
    """Return the model and a batch of that many samples, both on the CPU."""
    model = {name}()  # its arguments
    batch = (torch.randn(batch_size, 3, 224, 224),)  # what model(*batch) takes
    return model, batch


def loss(model, batch):
    """Return one number to train on; a real loss tells more than this one."""
    return model(*batch).float().square().mean()
'''

TRAINER = '''\
"""What `metalassay ask` runs: the Trainer of {module}, with its model, collator and loss."""

from {module} import {name}


def make(batch_size):
    """Return the Trainer's model, and a batch of its own data."""
    rows = [trainer().train_dataset[at % len(trainer().train_dataset)] for at in range(batch_size)]
    return trainer().model, dict(trainer().data_collator(rows))


def loss(model, batch):
    """Return the loss that the Trainer computes."""
    return trainer().compute_loss(model, dict(batch))


def trainer():
    """Return the Trainer: {name} is one, or makes one."""
    global _trainer
    if _trainer is None:
        _trainer = {name} if hasattr({name}, "train_dataset") else {name}()
    return _trainer


_trainer = None
'''


LIGHTNING = '''\
"""What `metalassay ask` runs: the training step of the LightningModule of {module}."""

from torch import nn

from {module} import {name}


class Step(nn.Module):
    """The training step as something that is called, so that torch.compile compiles it too."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        result = self.module.training_step(batch, 0)
        return result["loss"] if isinstance(result, dict) else result


def make(batch_size):
    """Return the module and a batch of that many samples, both on the CPU."""
    module = {name}()  # its arguments
    loader = module.train_dataloader()  # or: YourDataModule().train_dataloader()
    rows = [loader.dataset[at % len(loader.dataset)] for at in range(batch_size)]
    return Step(module), loader.collate_fn(rows)


def loss(model, batch):
    """Return the loss that the training step computes."""
    return model(batch)
'''

_OF = {"module": MODULE, "trainer": TRAINER, "lightning": LIGHTNING}


def text(module: str = "", name: str = "", kind: str = "module") -> str:
    """Return the content of the file, for ``name`` in ``module`` if they are given.

    ``kind`` says what it is: "module" for any torch.nn.Module, "trainer" or "lightning".
    """
    if not name:
        return PLAIN
    return _OF[kind].format(module=module, name=name)
