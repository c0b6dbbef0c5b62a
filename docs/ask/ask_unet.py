"""A U-Net; unet_model.py and unet_parts.py (unet/ of milesial/Pytorch-UNet at 21d7850) lie beside this file.

Their import "from .unet_parts" becomes "from unet_parts" there.

metalassay ask ask_unet.py
"""

import torch
from torch.nn.functional import cross_entropy
from unet_model import UNet


def make(batch_size):
    """Return the model and a batch of random images with a class for each pixel."""
    images, masks = torch.randn(batch_size, 3, 64, 64), torch.randint(2, (batch_size, 64, 64))
    return UNet(3, 2, bilinear=True), {"images": images, "masks": masks}


def loss(model, batch):
    """Return the loss to train on."""
    return cross_entropy(model(batch["images"]), batch["masks"])
