"""An LSTM for text; model.py (word_language_model/ of pytorch/examples at 77f55b9) lies beside this file.

metalassay ask ask_lstm.py
"""

import torch
from model import RNNModel
from torch.nn.functional import nll_loss


def make(batch_size):
    """Return the model and a batch of random tokens; dimension 1 is the batch."""
    words = torch.randint(500, (33, batch_size))
    return RNNModel("LSTM", 500, 64, 64, 2), {"words": words[:-1], "next": words[1:]}


def loss(model, batch):
    """Return the loss to train on, from a state of zeros."""
    scores, _ = model(batch["words"], model.init_hidden(batch["words"].shape[1]))
    return nll_loss(scores, batch["next"].reshape(-1))
