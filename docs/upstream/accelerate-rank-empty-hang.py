"""Train two ranks on one batch: rank 0 waits for rank 1's gradients until the group times out."""

import os
import socket
import sys
import time
from datetime import timedelta

import torch
import torch.multiprocessing as mp
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, TensorDataset

SECONDS = 10


def rank(number, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2")
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number))
    accelerator = Accelerator(
        cpu=True,
        dataloader_config=DataLoaderConfiguration(even_batches=False),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=SECONDS))],
    )
    rows = DataLoader(TensorDataset(torch.ones(2, 1)), batch_size=2)
    model, loader = accelerator.prepare(torch.nn.Linear(1, 1), rows)
    start = time.monotonic()
    try:
        for (row,) in loader:
            accelerator.backward(model(row).sum())
        accelerator.wait_for_everyone()
    except (RuntimeError, TypeError) as error:  # an immediate error would be fine
        waited = time.monotonic() - start
        if waited >= SECONDS - 1:
            raise RuntimeError(f"rank {number} waited {waited:.0f} s, then: {error}") from error


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    try:
        mp.spawn(rank, (port,), nprocs=2)
    except mp.ProcessRaisedException as error:
        sys.exit("BROKEN: " + str(error).splitlines()[-1])
    print("OK")
