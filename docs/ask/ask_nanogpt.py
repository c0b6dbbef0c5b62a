"""The GPT of nanoGPT with two layers; model.py (karpathy/nanoGPT at 3adf61e) lies beside this file.

metalassay ask ask_nanogpt.py
"""

import torch
from model import GPT, GPTConfig


def make(batch_size):
    """Return the model and a batch of random tokens."""
    shape = GPTConfig(block_size=64, vocab_size=512, n_layer=2, n_head=4, n_embd=128)
    words = torch.randint(512, (batch_size, 65))
    return GPT(shape), {"idx": words[:, :-1].contiguous(), "targets": words[:, 1:].contiguous()}


def loss(model, batch):
    """Return the loss, the second of what the model returns."""
    return model(batch["idx"], batch["targets"])[1]
