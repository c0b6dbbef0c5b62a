"""Optimizer steps are counted in real processes, and optimizers stay what they are."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from child_run import Ended, run

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

BEGIN = """
import copy, os, pickle, sys
import torch
model = torch.nn.Linear(4, 1)
def step(optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).pow(2).sum().backward()
    optimizer.step()
sgd = torch.optim.SGD(model.parameters(), lr=0.01)
"""


def counted(code: str, **config: Any) -> Ended:
    ended = run([sys.executable, "-c", BEGIN + code], **config)
    assert (ended.code, ended.err) == (0, ""), ended.err
    return ended


def last(ended: Ended) -> int:
    steps: int = ended.of("steps")[-1]["steps"]
    return steps


def test_steps_are_counted_whatever_the_optimizer() -> None:
    ended = counted("""
step(sgd)
step(pickle.loads(pickle.dumps(sgd)))
step(copy.deepcopy(sgd))
step(torch.optim.AdamW(model.parameters(), foreach=False))
lbfgs = torch.optim.LBFGS(model.parameters())
def closure():
    lbfgs.zero_grad()
    loss = model(torch.ones(2, 4)).pow(2).sum()
    loss.backward()
    return loss
lbfgs.step(closure)
scaler = torch.amp.GradScaler("cpu")
scaler.scale(model(torch.ones(2, 4)).sum()).backward()
scaler.step(sgd)
class Own(torch.optim.Optimizer):
    def __init__(self, parameters): super().__init__(parameters, {})
    def step(self, closure=None): return "returned"
assert Own(model.parameters()).step() == "returned"
""")
    assert last(ended) == 7


def test_a_program_without_a_step_reports_none() -> None:
    assert counted("").of("steps") == []


def test_the_count_is_sent_while_the_program_runs_and_only_when_it_has_changed() -> None:
    ended = counted("""
import time
for _ in range(2):
    step(sgd)
    time.sleep(0.7)
""")
    counts = [each["steps"] for each in ended.of("steps")]
    assert counts == [1, 2, 2], "the last one as the program ends"


def test_a_loop_that_counts_itself_is_believed() -> None:
    ended = counted("""
from metalassay import keepalive
for _ in range(3):
    step(sgd)
    step(sgd)
    keepalive.step()
""")
    assert last(ended) == 3


def test_a_forked_process_counts_its_own_steps() -> None:
    ended = counted("""
step(sgd); step(sgd)
if os.fork() == 0:
    step(sgd)
    sys.exit()
os.wait()
""")
    by_process = {each["pid"]: each["steps"] for each in ended.of("steps")}
    assert sorted(by_process.values()) == [1, 2]


COMPILED = """
import torch._dynamo
model(torch.ones(2, 4)).sum().backward()
compiled = torch.compile(lambda: sgd.step(), backend="eager")
counters = torch._dynamo.utils.counters
before = model.weight.clone()
compiled()
first = counters["frames"]["total"]
for _ in range(4):
    compiled()
print(first, counters["frames"]["total"] - first, sum(counters["graph_break"].values()))
print((model.weight - before).norm().item() > 0)
"""


def test_a_compiled_step_is_compiled_as_without_us() -> None:
    ended = run([sys.executable, "-c", BEGIN + COMPILED])
    plain = run([sys.executable, "-c", BEGIN + COMPILED], variables={"METALASSAY_RUN": ""})
    assert (ended.code, plain.code) == (0, 0)
    first, *others = ended.out.split()
    plain_first, *plain_others = plain.out.split()
    assert int(first) <= int(plain_first), "the hook is part of no compiled code"
    assert others == plain_others == ["0", others[1], "True"]
    assert not plain.messages
