"""A GPT2LMHeadModel with two layers that fills its cache; it computes its loss itself.

metalassay ask ask_gpt2.py
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def make(batch_size):
    """Return the model and a batch of random tokens."""
    config = GPT2Config(vocab_size=1000, n_embd=128, n_layer=2, n_head=4, use_cache=True)
    words = torch.randint(1000, (batch_size, 64))
    return GPT2LMHeadModel(config), {"input_ids": words, "labels": words}
