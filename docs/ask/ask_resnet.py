"""A ResNet of four BasicBlocks; resnet.py (models/ of kuangliu/pytorch-cifar at 49b7aa9) lies beside this file.

metalassay ask ask_resnet.py
"""

import torch
from resnet import BasicBlock, ResNet
from torch.nn.functional import cross_entropy


def make(batch_size):
    """Return the model and a batch of random images."""
    images, labels = torch.randn(batch_size, 3, 32, 32), torch.randint(10, (batch_size,))
    return ResNet(BasicBlock, [1, 1, 1, 1]), {"images": images, "labels": labels}


def loss(model, batch):
    """Return the loss to train on."""
    return cross_entropy(model(batch["images"]), batch["labels"])
