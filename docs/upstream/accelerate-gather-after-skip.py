"""Gather ten rows for metrics in two ranks, with and without skip_first_batches."""

import os
import socket
import sys

import torch
import torch.multiprocessing as mp
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader, TensorDataset


def rank(number, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2")
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number))
    accelerator = Accelerator(cpu=True)
    rows = TensorDataset(torch.arange(10))
    stock = accelerator.prepare(DataLoader(rows, batch_size=2))
    expected = {"no skip": range(10), "skip 0": range(10), "skip 1": range(4, 10)}
    loaders = [stock, skip_first_batches(stock, 0), skip_first_batches(stock, 1)]
    wrong = []
    for (name, want), loader in zip(expected.items(), loaders, strict=True):
        got = []
        for (row,) in loader:
            got += accelerator.gather_for_metrics(row).tolist()
        if sorted(got) != list(want):
            wrong.append(f"{name} gathered {sorted(got)}")
    if wrong:
        raise RuntimeError("; ".join(wrong))


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    try:
        mp.spawn(rank, (port,), nprocs=2)
    except mp.ProcessRaisedException as error:
        sys.exit("BROKEN: " + str(error).splitlines()[-1])
    print("OK")
