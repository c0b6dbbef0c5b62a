"""A two-branch 1-D CNN that tells planetary transits from other dips in a star's light curve.

One branch sees the whole folded orbit (the global view, 2001 bins), the other the dip alone (the
local view, 201 bins): the scheme of Shallue & Vanderburg 2018 (doi:10.3847/1538-3881/aa9e09), at
the size of a laptop. Imports torch and nothing else, so the file can go into an upstream issue.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class TwoBranchCNNConfig:
    """Sizes of a ``TwoBranchCNN``; the defaults make 42,113 parameters.

    Each branch has convolutions of ``width``, ``width`` and 2 * ``width`` channels. The bins are
    those of the benchmarks; adaptive pooling accepts any length.
    """

    width: int = 32
    global_bins: int = 2001
    local_bins: int = 201
    global_kernels: tuple[int, int, int] = (7, 5, 5)
    local_kernels: tuple[int, int, int] = (5, 3, 3)
    dropout: float = 0.3


def branch(width: int, kernels: tuple[int, int, int]) -> nn.Sequential:
    """Return three layers of convolution, relu and pooling: (B, 1, bins) -> (B, 2 * width)."""
    channels = (1, width, width, 2 * width)
    layers: list[nn.Module] = []
    for i, kernel in enumerate(kernels):
        layers += [
            nn.Conv1d(channels[i], channels[i + 1], kernel, padding=kernel // 2),  # same length
            nn.ReLU(),
            nn.MaxPool1d(2),  # half the length, rounded down
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten())


class TwoBranchCNN(nn.Module):
    """Maps both views of B light curves, (B, 1, 2001) and (B, 1, 201), to B logits, (B, 1)."""

    def __init__(self, config: TwoBranchCNNConfig | None = None) -> None:
        super().__init__()
        config = config or TwoBranchCNNConfig()
        features = 4 * config.width  # 2 * width from each branch
        self.global_branch = branch(config.width, config.global_kernels)
        self.local_branch = branch(config.width, config.local_kernels)
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, 128)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(128, 1)

    def forward(self, global_view: Tensor, local_view: Tensor) -> Tensor:
        """Return the logit that each dip is a transit; positive means yes."""
        x = torch.cat(
            [
                self.global_branch(global_view),  # (B, 64); lengths 2001 -> 1000 -> 500 -> 250 -> 1
                self.local_branch(local_view),  # (B, 64); lengths 201 -> 100 -> 50 -> 25 -> 1
            ],
            dim=1,
        )  # (B, 128)
        x = functional.relu(self.hidden(self.norm(x)))  # (B, 128)
        logits: Tensor = self.head(self.dropout(x))  # (B, 1)
        return logits
