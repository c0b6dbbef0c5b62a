"""Where a training step stands by the roofline model: its counted work against the measured peak of the device.

S. Williams, A. Waterman and D. Patterson, Communications of the ACM 52 (2009) 65. FLOP and bytes are counted from
the operators that run; the peak is measured on this machine, just before and just after the step. Nothing is
estimated, and published figures are not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from metalassay.ask import training_step
from metalassay.ask.contract import File, Subject
from metalassay.ask.pairs import Timing, Turns
from metalassay.machine import roofline_model
from metalassay.measure import roofline
from metalassay.workloads import flop_counter


@dataclass(frozen=True)
class Answer:
    """One step in float32: ``flop`` and ``compulsory`` bytes, the measured peak, and the measured time.

    ``compulsory`` is what a step has to move even with perfect caches: weights and the state of AdamW, and the
    batch. ``intensity`` is FLOP over it, as in the report. ``bound`` is "arithmetic" or "memory", whichever takes
    the longer at its peak. ``seconds_of_probes`` is how long the peak was measured.
    """

    batch_size: int
    flop: int
    compulsory: int
    gflop_s: float
    gb_s: float
    threads: int
    seconds_of_probes: float
    timing: Timing
    intensity: float
    achieved_gflop_s: float
    least_seconds: float
    bound: str


def ask(file: File, where: torch.device, batch_size: int, budget: float) -> Answer:
    """Count the work of a step on the CPU, and time it on ``where`` for ``budget`` seconds."""
    cpu = torch.device("cpu")
    flop = flop_counter.count(training_step.make(file, cpu, batch_size)).flop
    moved = _compulsory(file.subject(batch_size, cpu))
    step = training_step.make(file, where, batch_size)
    step()
    before = roofline.probe(where)
    turns = Turns({"step": step})
    turns.run(budget)
    after = roofline.probe(where)
    # A peak is what can be reached: other programs can only make it smaller.
    gflop_s, gb_s = max(before.gflop_s, after.gflop_s), max(before.gb_s, after.gb_s)
    timing = turns.timing("step")
    arithmetic, memory = flop / (gflop_s * 1e9), moved / (gb_s * 1e9)
    return Answer(
        batch_size=batch_size,
        flop=flop,
        compulsory=moved,
        gflop_s=gflop_s,
        gb_s=gb_s,
        threads=before.threads,
        seconds_of_probes=before.seconds + after.seconds,
        timing=timing,
        intensity=flop / moved,
        achieved_gflop_s=roofline_model.gflop_per_second(flop, timing.seconds),
        least_seconds=roofline_model.least_seconds(flop, moved, gflop_s=gflop_s, gb_s=gb_s),
        bound="arithmetic" if arithmetic >= memory else "memory",
    )


def _compulsory(subject: Subject) -> int:
    """Return the bytes that a step has to move; frozen weights are read once and have no state."""
    trained = sum(each.numel() for each in subject.model.parameters() if each.requires_grad)
    frozen = [each for each in subject.model.parameters() if not each.requires_grad]
    batch = [leaf for leaf in tree_leaves(subject.batch) if isinstance(leaf, Tensor)]
    return roofline_model.compulsory_bytes(
        mode="train",
        parameters=trained,
        input_bytes=sum(each.numel() * each.element_size() for each in [*frozen, *batch]),
        output_bytes=0,
    )
