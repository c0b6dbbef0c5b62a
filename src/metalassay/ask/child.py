"""Answers one question about the user's file in this process: ``python -P -m metalassay.ask.child FACTS``.

FACTS is one JSON object: question, file, device, batch_size, budget (seconds) and folder (for programs that
show a difference). The answer is one JSON object on stdout; what the user's file prints goes to stderr.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.errors import UserError, reason
from metalassay.fields import one_line


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
        answer = {"error": one_line(reason(error))[:300], "next_step": "run the file alone first"}
    json.dump(answer, answers)
    answers.close()
    return 0


def _answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    from metalassay.ask import contract, devices
    from metalassay.measure import device

    if facts["question"] == "check":
        file = contract.File(Path(facts["file"]))
        contract.validate(file, facts["batch_size"])
        kinds = devices.here()
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
        }
    file = contract.File(Path(facts["file"]))
    where = device.resolve(facts["device"])
    batch_size, budget = facts["batch_size"], facts["budget"]
    if facts["question"] == "devices":
        rows = devices.ask(file, facts["kinds"], devices.BATCHES, budget)
        return {
            "rows": [dataclasses.asdict(each) for each in rows],
            "crossover": devices.crossover(rows),
        }
    if facts["question"] == "numbers":
        return _numbers(file, where, batch_size, Path(facts["folder"]))
    if facts["question"] == "compile":
        from metalassay.ask import compiled

        found = compiled.ask(file, where, batch_size, budget)
        return {**dataclasses.asdict(found), "same": found.same}
    from metalassay.ask import precision

    return {
        "rows": [
            dataclasses.asdict(each) for each in precision.ask(file, where, batch_size, budget)
        ]
    }


def _numbers(file: Any, where: Any, batch_size: int, folder: Path) -> dict[str, Any]:
    from metalassay.ask import numbers, reproducer

    found = numbers.ask(file, where, batch_size)
    parts = ("operator", "number", "what", "error", "allowed", "module", "place")
    told = [{key: getattr(each, key) for key in parts} for each in found.differences]
    programs, unwritten = [], ""
    if found.differences:
        try:
            written = reproducer.write(found.differences[0], where.type, folder)
            programs = [str(path) for path in written]
        except OSError as error:  # what was found is told in any case
            unwritten = reason(error)
    facts = "device emulated loss cpu_loss exact_loss random compared calls skipped right"
    return {
        **{key: getattr(found, key) for key in facts.split()},
        "rows": [dataclasses.asdict(each) for each in found.rows],
        "differences": told,
        "programs": programs,
        "unwritten": unwritten,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
