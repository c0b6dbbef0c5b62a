"""The exponential moving average of a model's weights (EMA), with which the model is then evaluated.

After each update, ``mean`` moves towards the weights by 1 - decay. Early in a run the decay is
(1 + n) / (10 + n) if that is less, n being the number of updates, as in TensorFlow's
``ExponentialMovingAverage``: otherwise a short run would be evaluated with its random first weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from metalassay.training.optimizer import FlatAdamW


class WeightAverage:
    """The average of all weights that ``optimizer`` updates, in a vector of the same layout."""

    def __init__(self, model: nn.Module, optimizer: FlatAdamW, decay: float) -> None:
        self._optimizer, self.decay = optimizer, decay
        self._weights = optimizer.weights.data
        self._mean = self._weights.clone()
        self._views = {
            name: self._mean[at : at + parameter.numel()].view_as(parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
            for at in [parameter.data.storage_offset()]
        }

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights after an update into the average."""
        done = self._optimizer.updates
        self._mean.lerp_(self._weights, 1 - min(self.decay, (1 + done) / (10 + done)))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Let the model have the averaged weights meanwhile."""
        kept = self._weights.clone()
        self._weights.copy_(self._mean)
        try:
            yield
        finally:
            self._weights.copy_(kept)

    def use(self) -> None:
        """Give the model the averaged weights for good; the training is over."""
        self._weights.copy_(self._mean)

    def tensors(self) -> dict[str, Tensor]:
        """Return the averages by the names of the weights, as views."""
        return dict(self._views)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what ``tensors`` of an equal model returned."""
        for name, view in self._views.items():
            view.copy_(tensors[name])
