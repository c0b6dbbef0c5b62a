"""A comparison on disk: one line of JSON an event, so that a run which ends anyhow can be continued.

The first line says what is compared and how; each further one holds a trio of processes or a look.
A last line that was cut off in the middle is left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.compare.sampling import State, TrioRecord
from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.statistics.decision import ARMS, Sample

SCHEMA = "metalassay.compare/1"


def write(path: Path, about: Mapping[str, Any], state: State) -> None:
    """Write all of it anew, whole or not at all."""
    events: list[dict[str, Any]] = [{"schema": SCHEMA, **about}]
    events += [
        {"trio": _as_lists(each), "steady": each.steady, "page_faults": each.page_faults}
        for each in state.trios
    ]
    rest = {
        key: getattr(state, key) for key in ("steps", "palindromes", "looks", "facts", "seconds")
    }
    events.append(rest)
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in events))


def read(path: Path, about: Mapping[str, Any]) -> State:
    """Read a run to continue it; a file that is not there is a run that has not begun.

    Raises ``UserError`` when the file is of another comparison or none: what was measured otherwise
    must not be mixed.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return State()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})", "name another file") from None
    events = []
    for number, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            if number + 1 < len(lines):
                raise _not_ours(path) from None
    if not events or not isinstance(events[0], dict) or events[0].get("schema") != SCHEMA:
        raise _not_ours(path)
    known = json.loads(json.dumps(about))
    for key, value in known.items():
        if events[0].get(key) != value:
            raise UserError(
                f"{path}: a run with another {key}: {events[0].get(key)}, not {value}",
                "name a new file, or compare as that run did",
            )
    state = State()
    try:
        for event in events[1:]:
            if "trio" in event:
                state.trios.append(_from_lists(event))
            else:
                state.steps, state.palindromes = int(event["steps"]), int(event["palindromes"])
                state.looks = list(event["looks"])
                state.facts, state.seconds = dict(event["facts"]), float(event["seconds"])
    except (KeyError, TypeError, ValueError):
        raise _not_ours(path) from None
    return state


def _as_lists(trio: TrioRecord) -> list[list[list[Any]]]:
    return [[list(dataclasses.astuple(sample)) for sample in block] for block in trio.blocks]


def _from_lists(event: Mapping[str, Any]) -> TrioRecord:
    blocks = tuple(
        tuple(Sample(str(arm), float(wall), float(cpu)) for arm, wall, cpu in block)
        for block in event["trio"]
    )
    for block in blocks:
        long = 2 * len(ARMS)
        parts = [block[start : start + long] for start in range(0, len(block), long)]
        if any(sorted(each.arm for each in part) != sorted(ARMS * 2) for part in parts) or any(
            not (each.wall > 0 and each.cpu > 0) for each in block
        ):
            raise ValueError("not a block")
    return TrioRecord(blocks, bool(event["steady"]), tuple(map(float, event["page_faults"])))


def _not_ours(path: Path) -> UserError:
    return UserError(f"{path}: not a saved comparison", "name another file")
