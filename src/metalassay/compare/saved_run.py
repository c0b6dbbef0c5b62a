"""A comparison on disk, as JSON lines, so that a run can be continued however it ended.

The first line states what is compared and how, the last one the totals, and each line between them
has the timings of one replicate (key "trio"). A last line that was cut off is ignored.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.compare.sampling import Replicate, State
from metalassay.errors import UserError
from metalassay.files import read_text, write_atomically
from metalassay.statistics.decision import ARMS, Sample

SCHEMA = "metalassay.compare/1"


def write(path: Path, about: Mapping[str, Any], state: State) -> None:
    """Replace the file by the whole run, atomically."""
    events: list[dict[str, Any]] = [{"schema": SCHEMA, **about}]
    events += [
        {
            "trio": _as_lists(replicate),
            "steady": replicate.steady,
            "page_faults": replicate.page_faults,
        }
        for replicate in state.replicates
    ]
    events.append(
        {
            "steps": state.steps,
            "palindromes": state.abba_blocks,
            "looks": state.analyses,
            "facts": state.facts,
            "seconds": state.seconds,
            "common": state.common,
        }
    )
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in events))


def read(path: Path, about: Mapping[str, Any]) -> State:
    """Read a run to continue it; if the file does not exist, return the state of a new run.

    Raises ``UserError`` if the file is not a saved comparison, or is one of other things or made in
    another way, since their timings must not be mixed.
    """
    if not path.exists():
        return State()
    lines = read_text(path, "name another file").splitlines()
    events = []
    for number, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except (ValueError, RecursionError):
            if number + 1 < len(lines):
                raise _not_ours(path) from None
    if not events or not isinstance(events[0], dict) or events[0].get("schema") != SCHEMA:
        raise _not_ours(path)
    known = json.loads(json.dumps(about))
    for key, value in known.items():
        if events[0].get(key) != value:
            raise UserError(
                f"{path}: a saved run with another {key}: {events[0].get(key)}, not {value}",
                "name a new file, or repeat the options of that run",
            )
    state = State()
    try:
        for event in events[1:]:
            if "trio" in event:
                state.replicates.append(_from_lists(event))
            else:
                state.steps, state.abba_blocks = int(event["steps"]), int(event["palindromes"])
                state.analyses = list(event["looks"])
                state.facts, state.seconds = dict(event["facts"]), float(event["seconds"])
                state.common = float(event.get("common", 0.0))  # absent before there was any
    except (KeyError, TypeError, ValueError):
        raise _not_ours(path) from None
    return state


def _as_lists(replicate: Replicate) -> list[list[list[Any]]]:
    return [[list(dataclasses.astuple(timing)) for timing in round_] for round_ in replicate.rounds]


def _from_lists(event: Mapping[str, Any]) -> Replicate:
    rounds = tuple(
        tuple(Sample(str(arm), float(wall), float(cpu)) for arm, wall, cpu in timings)
        for timings in event["trio"]
    )
    long = 2 * len(ARMS)
    for timings in rounds:
        blocks = [timings[start : start + long] for start in range(0, len(timings), long)]
        if any(sorted(timing.arm for timing in block) != sorted(ARMS * 2) for block in blocks):
            raise ValueError("an ABBA block without two timings of each arm")
        if not all(timing.wall > 0 and timing.cpu > 0 for timing in timings):
            raise ValueError("a timing of no time")
    return Replicate(rounds, bool(event["steady"]), tuple(map(float, event["page_faults"])))


def _not_ours(path: Path) -> UserError:
    return UserError(f"{path}: not a saved comparison", "name another file")
