"""AstroNet, the convolutional network of Shallue & Vanderburg 2018 (doi:10.3847/1538-3881/aa9e09).

Their figure 7: two columns of convolutions on the global and the local view of a light curve,
joined and followed by four layers of 512. Imports torch and nothing else, so the file can go into
an upstream issue.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GLOBAL_CHANNELS = (16, 32, 64, 128, 256)
LOCAL_CHANNELS = (16, 32)


def column(channels: tuple[int, ...], pool: int) -> nn.Sequential:
    """Return two convolutions with relu, then pooling, per channel count: (B, 1, bins) -> (B, n)."""
    layers: list[nn.Module] = []
    before = 1
    for width in channels:
        layers += [nn.Conv1d(before, width, 5, padding=2), nn.ReLU()]
        layers += [nn.Conv1d(width, width, 5, padding=2), nn.ReLU()]
        layers += [nn.MaxPool1d(pool, stride=2)]
        before = width
    return nn.Sequential(*layers, nn.Flatten())


class AstroNet(nn.Module):
    """Maps both views of B light curves, (B, 1, 2001) and (B, 1, 201), to B logits; 9,940,193 parameters."""

    features = 16_576  # 256 x 59 from the global view, 32 x 46 from the local one

    def __init__(self) -> None:
        super().__init__()
        self.global_column = column(GLOBAL_CHANNELS, 5)  # 2001 -> 999 -> 498 -> 247 -> 122 -> 59
        self.local_column = column(LOCAL_CHANNELS, 7)  # 201 -> 98 -> 46
        layers: list[nn.Module] = []
        for before in (self.features, 512, 512, 512):
            layers += [nn.Linear(before, 512), nn.ReLU()]
        self.head = nn.Sequential(*layers, nn.Linear(512, 1))

    def forward(self, global_view: Tensor, local_view: Tensor) -> Tensor:
        """Return the logit that each dip is a transit; positive means yes."""
        both = [self.global_column(global_view), self.local_column(local_view)]
        logits: Tensor = self.head(torch.cat(both, dim=1))  # (B, 16576) -> (B, 1)
        return logits
