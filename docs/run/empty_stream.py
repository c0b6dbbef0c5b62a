"""A training whose stream yields nothing, as after a filter that keeps no row; knows nothing of metalassay."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset
from transformers import Trainer, TrainingArguments


class Stream(IterableDataset):
    """Rows of another dataset that pass a filter: none does."""

    def __iter__(self) -> Iterator[dict[str, object]]:
        return iter(())


class Model(torch.nn.Module):
    """A linear model with the loss that Trainer asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss for inputs of shape (batch, 4) and labels of shape (batch,)."""
        return {"loss": torch.nn.functional.cross_entropy(self.linear(x), labels)}


settings = TrainingArguments(
    "trained", max_steps=3, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no"
)
Trainer(Model(), settings, train_dataset=Stream()).train()
print("finished")
