"""Answers one question about the user's file in this process: ``python -P -m metalassay.ask.child FACTS``.

FACTS is one JSON object: question, file, device, batch_size, budget (seconds), folder (for programs that show a
difference, and for a profile), torch (the version to judge for, "" for the installed one), and steps to profile. The answer is one JSON object on stdout; what the user's file prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalassay.ask import template
from metalassay.errors import UserError, reason
from metalassay.fields import one_line

if TYPE_CHECKING:
    import torch

    from metalassay.ask.contract import File


def main(text: str) -> int:
    """Print the answer, or an object with ``error`` and ``next_step``; exit code 0 in both cases."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    facts = json.loads(text)
    try:
        answer = _answer(facts)
    except UserError as error:
        answer = {"error": error.message, "next_step": error.next_step}
    except (RuntimeError, MemoryError, NotImplementedError) as error:  # torch's own
        answer = {"error": one_line(reason(error))[:300], "next_step": template.BY_HAND}
    json.dump(answer, answers)
    answers.close()
    return 0


def _answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    from metalassay.ask import contract
    from metalassay.measure import device

    file = contract.File(Path(facts["file"]))
    if facts["question"] == "check":
        return _check(file, facts)
    question, batch_size = facts["question"], facts["batch_size"]
    if question == "preflight":
        from metalassay.ask import preflight

        return preflight.ask(file, batch_size, facts["torch"])
    where, budget = device.resolve(facts["device"]), facts["budget"]
    if question == "profile":
        return _profile(file, where, facts)
    if question == "numbers":
        return _numbers(file, where, batch_size, Path(facts["folder"]))
    if question == "transfers":
        from metalassay.ask import transfers

        return dataclasses.asdict(transfers.ask(file, where, batch_size))
    if question == "compile":
        from metalassay.ask import compiled

        found = compiled.ask(file, where, batch_size, budget)
        return {**dataclasses.asdict(found), "same": found.same}
    if question == "roofline":
        from metalassay.ask import roofline

        return dataclasses.asdict(roofline.ask(file, where, batch_size, budget))
    if question == "devices":
        return _devices(file, where, facts)
    from metalassay.ask import precision

    rows = precision.ask(file, where, batch_size, budget)
    return {"rows": [dataclasses.asdict(each) for each in rows]}


def _check(file: File, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be asked about, and the known bugs that the step may meet if ``hazards`` are wanted."""
    import torch

    from metalassay.ask import contract, devices, hazards
    from metalassay.measure import device

    contract.validate(file, facts["batch_size"])
    kinds = devices.here()
    for kind, why in kinds.items():
        if kind != "cpu" and not why:
            contract.validate_on(file, facts["batch_size"], torch.device(kind))
    subject = file.subject(1, torch.device("cpu"))
    return {
        "devices": kinds,
        "emulated": {
            kind: device.emulated(torch.device(kind)) for kind, why in kinds.items() if not why
        },
        "parameters": sum(each.numel() for each in subject.model.parameters()),
        "stand_in": subject.stand_in,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "hazards": hazards.ask(file, facts["batch_size"], facts["torch"])
        if facts["hazards"]
        else None,
    }


def _devices(file: File, where: torch.device, facts: Mapping[str, Any]) -> dict[str, Any]:
    from metalassay.ask import devices, transfers

    rows = devices.ask(file, facts["kinds"], devices.BATCHES, facts["budget"])
    found: dict[str, Any] = {
        "rows": [dataclasses.asdict(each) for each in rows],
        "crossover": devices.crossover(rows),
    }
    if where.type != "cpu":
        moved = transfers.ask(file, where, facts["batch_size"])
        found["transfers"] = dataclasses.asdict(moved)
    return found


def _profile(file: File, where: torch.device, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Profile steps in this process, which measures nothing else."""
    import torch

    from metalassay.ask import training_step
    from metalassay.supervise.step_profiler import StepProfiler

    lines: list[str] = []
    folder = Path(facts["folder"])
    step = training_step.make(file, where, facts["batch_size"])
    profiler = StepProfiler(torch, where.type, facts["steps"], folder, lines.append)
    while not profiler.done:
        profiler.begin()
        step()
        profiler.end()
    files = [folder / name for name in ("profile.json", "trace.json.gz")]
    return {
        "steps": facts["steps"],
        "lines": lines,
        "files": [str(each) for each in files if each.is_file()],
    }


def _numbers(file: File, where: torch.device, batch_size: int, folder: Path) -> dict[str, Any]:
    from metalassay.ask import numbers, reproducer

    found = numbers.ask(file, where, batch_size)
    parts = ("operator", "number", "what", "error", "allowed", "module", "place", "inputs")
    told = {
        key: [{part: getattr(each, part) for part in parts} for each in getattr(found, key)]
        for key in ("differences", "elsewhere")
    }
    programs, unwritten = [], ""
    if found.differences or found.elsewhere:
        try:
            first = (*found.differences, *found.elsewhere)[0]
            written = reproducer.write(first, where.type, folder)
            programs = [str(path) for path in written]
        except OSError as error:  # what was found is told in any case
            unwritten = reason(error)
    facts = "device emulated loss cpu_loss exact_loss random compared calls skipped right strided not_finite varied"
    return {
        **{key: getattr(found, key) for key in facts.split()},
        "rows": [dataclasses.asdict(each) for each in found.rows],
        **told,
        "programs": programs,
        "unwritten": unwritten,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
