"""The configuration of a run: a hash that tells two apart, and words for what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metalassay.errors import UserError

# The option of the command line that a value comes from.
OPTIONS = {
    "batch_size": "--batch-size in --accumulate parts",
    "curves": "--curves",
    "data.bytes": "--data",
    "data.sha256_of_first_mb": "--data",
    "recipe.accumulate": "--accumulate",
    "recipe.dtype": "--dtype",
    "recipe.peak_rate": "--learning-rate",
    "recipe.seed": "--seed",
    "recipe.steps": "--steps",
    "seed": "--seed",
    "size": "--size",
}


def config_hash(config: Mapping[str, Any]) -> str:
    """Return 16 hex digits that change with any value of ``config``."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def require_same(was: Mapping[str, Any], now: Mapping[str, Any], made: Path) -> None:
    """Raise ``UserError`` where ``now`` is not what the checkpoint ``made`` was made with.

    It names the values that differ, by their keys and by the option that sets them.
    """
    if config_hash(was) == config_hash(now):
        return
    before, after = _values(was), _values(now)
    differ = [
        key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)
    ]
    if "workload" in differ:  # then nothing else can be compared
        differ = ["workload"]
    said: dict[str, str] = {}  # one value an option: a file that differs has another size and hash
    for key in differ:
        option = OPTIONS.get(key)
        line = f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        said.setdefault(option or key, f"{line} ({option})" if option else line)
    raise UserError(
        f"{made} was made with another configuration: {'; '.join(said.values())}",
        "resume with the same options, or start anew in another --output folder",
    )


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by their dotted keys, as JSON has them: a tuple is a list."""
    return dict(_flat(json.loads(json.dumps(config)), ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield key, value
        return
    for name, each in value.items():
        yield from _flat(each, f"{key}.{name}" if key else name)
