"""A BertForSequenceClassification with two layers; it computes its loss itself.

metalassay ask ask_bert.py
"""

import torch
from transformers import BertConfig, BertForSequenceClassification


def make(batch_size):
    """Return the model and a batch of random tokens."""
    shape = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4}
    config = BertConfig(vocab_size=1000, num_hidden_layers=2, **shape)
    words, labels = torch.randint(1000, (batch_size, 64)), torch.randint(2, (batch_size,))
    batch = {"input_ids": words, "attention_mask": torch.ones_like(words), "labels": labels}
    return BertForSequenceClassification(config), batch
