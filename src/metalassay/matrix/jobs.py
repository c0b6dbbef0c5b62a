"""The jobs of a workflow that together run many rows on several machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalassay.errors import UserError
from metalassay.matrix import durations

MOST = 256
"""Jobs that one matrix of a workflow may have (docs.github.com, "Usage limits" of GitHub Actions)."""


def jobs(
    rows: Sequence[str], known: Mapping[str, float], number: int, machines: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one job for each shard on each machine; a shard without a row is none.

    ``known`` has the seconds of rows. ``artifact`` names the machine, so that the files of two machines
    do not collide, and ``arguments`` are the rows as a shell takes them. Raises ``UserError`` for more
    jobs than a workflow may have, and for a machine that is named twice.
    """
    if len(set(machines)) < len(machines):
        raise UserError("a machine is named twice", "name each machine once")
    shards = [names for names in durations.shards(rows, known, number) if names]
    if len(shards) * len(machines) > MOST:
        raise UserError(
            f"{len(shards)} shards on {len(machines)} machines are {len(shards) * len(machines)} jobs;"
            f" a workflow has at most {MOST}",
            f"--of {MOST // len(machines)}",
        )
    return [
        {
            "machine": machine,
            "shard": shard,
            "artifact": f"compat-{machine}-{shard:03}",
            "seconds": durations.estimate(names, known),
            "rows": names,
            "arguments": " ".join(names),
        }
        for machine in machines
        for shard, names in enumerate(shards, 1)
    ]
