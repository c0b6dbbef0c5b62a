"""The two-branch CNN of ``two_branch_cnn.py`` in MLX: the same layers, in the same order.

MLX convolves and pools along the last axis but one, so a view is (B, bins, 1) here and (B, 1, bins) there.
Imports MLX and nothing else, so the file can go into an upstream issue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mlx.core as mx
from mlx import nn

if TYPE_CHECKING:
    from metalassay.workloads.models.two_branch_cnn import TwoBranchCNNConfig


def branch(width: int, kernels: tuple[int, int, int]) -> nn.Sequential:
    """Return three layers of convolution, relu and pooling: (B, bins, 1) -> (B, bins / 8, 2 * width)."""
    channels = (1, width, width, 2 * width)
    layers: list[nn.Module] = []
    for i, kernel in enumerate(kernels):
        layers += [
            nn.Conv1d(channels[i], channels[i + 1], kernel, padding=kernel // 2),  # same length
            nn.ReLU(),
            nn.MaxPool1d(2),  # half the length, rounded down
        ]
    return nn.Sequential(*layers)


class TwoBranchCNN(nn.Module):  # type: ignore[misc]  # Any to mypy
    """Maps both views of B light curves, (B, 2001, 1) and (B, 201, 1), to B logits, (B, 1)."""

    def __init__(self, config: TwoBranchCNNConfig) -> None:
        super().__init__()
        features = 4 * config.width  # 2 * width from each branch
        self.global_branch = branch(config.width, config.global_kernels)
        self.local_branch = branch(config.width, config.local_kernels)
        self.norm = nn.LayerNorm(features)
        self.hidden = nn.Linear(features, 128)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(128, 1)

    def __call__(self, global_view: mx.array, local_view: mx.array) -> mx.array:
        """Return the logit that each dip is a transit; positive means yes."""
        x = mx.concatenate(
            [
                self.global_branch(global_view).mean(axis=1),  # (B, 250, 64) -> (B, 64)
                self.local_branch(local_view).mean(axis=1),  # (B, 25, 64) -> (B, 64)
            ],
            axis=1,
        )  # (B, 128)
        x = nn.relu(self.hidden(self.norm(x)))  # (B, 128)
        return self.head(self.dropout(x))  # (B, 1)
