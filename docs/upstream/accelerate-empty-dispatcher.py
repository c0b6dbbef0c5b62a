"""Iterate an iterable dataset that yields nothing, with default settings, in 1 and 2 processes."""

import os
import socket
import sys

import torch.multiprocessing as mp
from accelerate import Accelerator
from torch.utils.data import DataLoader, IterableDataset


class Nothing(IterableDataset):
    def __iter__(self):
        return iter(())


def rank(number, world, port):
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    if world > 1:
        os.environ.update(where, RANK=str(number), LOCAL_RANK=str(number))
    accelerator = Accelerator(cpu=True)
    end = "zero batches"
    try:
        for _ in accelerator.prepare(DataLoader(Nothing(), batch_size=2)):
            end = "a batch"
    except (TypeError, ValueError) as error:
        end = f"{type(error).__name__}: {str(error)[:68]}..."
    # A ValueError would be fine if it left accelerate's state unchanged.
    if accelerator.gradient_state.in_dataloader or end.startswith("TypeError"):
        raise RuntimeError(f"{end} in_dataloader={accelerator.gradient_state.in_dataloader}")


if __name__ == "__main__":
    failed = []
    for world in (1, 2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        try:
            mp.spawn(rank, (world, port), nprocs=world)
        except mp.ProcessRaisedException as error:
            failed.append(f"{world} process(es): {str(error).splitlines()[-1]}")
    sys.exit("BROKEN: " + " | ".join(failed)) if failed else print("OK")
