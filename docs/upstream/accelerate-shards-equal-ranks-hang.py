"""Train two ranks on two shards of a stream, one of them empty: the ranks wait for each other."""

import os
import socket
import sys
import time
from datetime import timedelta

import torch
import torch.multiprocessing as mp
from accelerate import Accelerator, InitProcessGroupKwargs
from accelerate.utils import DataLoaderConfiguration
from datasets import IterableDataset
from torch.utils.data import DataLoader


def rows(shards):
    for count in shards:
        yield from ({"x": [1.0]} for _ in range(count))


def rank(number, port, shards):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2")
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number))
    accelerator = Accelerator(
        cpu=True,
        dataloader_config=DataLoaderConfiguration(dispatch_batches=False),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(seconds=10))],
    )
    data = IterableDataset.from_generator(rows, gen_kwargs={"shards": shards}).with_format("torch")
    model, loader = accelerator.prepare(torch.nn.Linear(1, 1), DataLoader(data, batch_size=2))
    start = time.monotonic()
    try:
        for batch in loader:
            accelerator.backward(model(batch["x"]).sum())
        accelerator.wait_for_everyone()
    except RuntimeError as error:
        waited = f"rank {number} waited {time.monotonic() - start:.0f} s"
        raise RuntimeError(f"{waited}, then: {error}") from error


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    try:
        mp.spawn(rank, (port, [4, 0]), nprocs=2)
    except mp.ProcessRaisedException as error:
        sys.exit("BROKEN: " + str(error).splitlines()[-1])
    print("OK")
