"""An own loop hears of requests; two ranks of it stop together."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from child_run import run

LOOP = """
import os, sys, time
from pathlib import Path
from metalassay import keepalive
from metalassay.supervise.protocol import Request, write_request
for step in range(1000):
    if step == 5:
        write_request(Path(os.environ["METALASSAY_RUN"]), Request(1, "stop", "memory"))
    time.sleep(0.02)
    keepalive.step()
    if keepalive.checkpoint_wanted():
        keepalive.saved("here.pt", step)
        break
assert keepalive.checkpoint_wanted() == "memory"
print(step)
"""


def test_a_loop_is_asked_and_tells_that_it_saved() -> None:
    ended = run([sys.executable, "-c", LOOP])
    assert (ended.code, ended.err) == (0, "")
    step = int(ended.out)
    assert 5 <= step < 50
    (checkpoint,) = ended.of("checkpoint")
    (stopping,) = ended.of("stopping")
    assert (checkpoint["step"], checkpoint["path"]) == (step, "here.pt")
    assert (stopping["step"], stopping["reason"]) == (step, "memory")


RANKS = """
import os, time
from pathlib import Path
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from metalassay import keepalive
from metalassay.supervise.protocol import Request, write_request
dist.init_process_group("gloo")
model = DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(100_000):
    if dist.get_rank() == 1 and step % 7 == 0:
        time.sleep(0.02)
    optimizer.zero_grad()
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    if step == 20 and dist.get_rank() == 0:
        write_request(Path(os.environ["METALASSAY_RUN"]), Request(1, "stop", "memory"))
    if keepalive.checkpoint_wanted():
        keepalive.saved(f"{dist.get_rank()}.pt", step)
        break
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_the_ranks_of_torchrun_stop_in_the_same_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    script = tmp_path / "train.py"
    script.write_text(RANKS)
    ended = run([sys.executable, *launch, str(script)])
    assert ended.code == 0, ended.err
    assert [each["program"] for each in ended.of("started")] == [
        "-m torch.distributed.run",
        str(script),
        str(script),
    ]
    saved = {each["path"]: each["step"] for each in ended.of("checkpoint")}
    assert saved.keys() == {"0.pt", "1.pt"}
    assert saved["0.pt"] == saved["1.pt"]
