"""A training step of a two-layer BERT, with eager and with SDPA attention.

metalassay compare bert_attention.py::eager bert_attention.py::sdpa
"""

import torch
from transformers import BertConfig, BertForSequenceClassification


def trained(attention):
    """Return the step."""
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    config = BertConfig(num_hidden_layers=2, attn_implementation=attention, **shape)
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    words, labels = torch.randint(0, config.vocab_size, (8, 48)), torch.randint(0, 2, (8,))

    def step():
        optimizer.zero_grad()
        model(input_ids=words, labels=labels).loss.backward()
        optimizer.step()

    return step


def eager():
    """Return the step with eager attention."""
    return trained("eager")


def sdpa():
    """Return the step with scaled_dot_product_attention."""
    return trained("sdpa")
