"""Iterate an iterable dataset with a text column, with default settings, in 1 and 2 processes."""

import os
import socket
import sys

import torch.multiprocessing as mp
from accelerate import Accelerator
from torch.utils.data import DataLoader, IterableDataset


class Texts(IterableDataset):
    def __iter__(self):
        return iter([{"x": float(row), "text": "abcd"[row]} for row in range(4)])


def rank(number, world, port):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    if world > 1:
        os.environ.update(where, RANK=str(number), LOCAL_RANK=str(number))
    batches = list(Accelerator(cpu=True).prepare(DataLoader(Texts(), batch_size=2)))
    here = ["ab", "cd"] if world == 1 else [["ab", "cd"][number]]
    got = ["".join(batch["text"]) for batch in batches]
    if got != here:
        raise RuntimeError(f"rank {number} got {got}, not {here}")


if __name__ == "__main__":
    failed = []
    for world in (1, 2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        try:
            mp.spawn(rank, (world, port), nprocs=world)
        except mp.ProcessRaisedException as error:
            message = str(error).splitlines()[-1]
            if "dispatch_batches" not in message:  # an error that names the solution is fine
                failed.append(f"{world} process(es): {message}")
    sys.exit("BROKEN: " + " | ".join(failed)) if failed else print("OK")
