"""Iterate three times a dataset that is empty only in epoch 0."""

import sys

from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, IterableDataset


class Growing(IterableDataset):
    """The number of rows is the epoch's number, as in a replay buffer or a curriculum."""

    def __init__(self):
        self.epochs = []

    def set_epoch(self, epoch):
        self.epochs.append(epoch)

    def __iter__(self):
        return iter(range(self.epochs[-1]))


data = Growing()
configuration = DataLoaderConfiguration(dispatch_batches=False)
loader = Accelerator(cpu=True, dataloader_config=configuration).prepare(DataLoader(data))
batches, ends = [], []
for _ in range(3):
    batches.append(sum(1 for _ in loader))
    ends.append(loader.end_of_dataloader)
if data.epochs != [0, 1, 2] or not all(ends):
    sys.exit(f"BROKEN: set_epoch was called with {data.epochs}, batches {batches}, ends {ends}")
print("OK")
