"""Compare the configurations of two runs: by a hash, and with a message that names what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metalassay.errors import UserError

# The command-line option that sets each value.
OPTIONS = {
    "beta": "--beta",
    "batch_size": "--batch-size in --accumulate parts",
    "curves": "--curves",
    "data.bytes": "--data",
    "data.curves": "--ephemeris",
    "data.sha256": "--data and --ephemeris",
    "data.sha256_of_first_mb": "--data",
    "label_smoothing": "--label-smoothing or --recipe",
    "mixup": "--mixup or --recipe",
    "recipe.accumulate": "--accumulate",
    "recipe.clip": "--clip or --recipe",
    "recipe.decay_groups": "--decay-groups or --recipe",
    "recipe.dtype": "--dtype",
    "recipe.ema": "--ema or --recipe",
    "recipe.momenta": "--schedule or --recipe",
    "recipe.peak_rate": "--learning-rate",
    "recipe.seed": "--seed",
    "recipe.schedule": "--schedule or --recipe",
    "recipe.steps": "--steps",
    "recipe.warm_up": "--warm-up or --recipe",
    "recipe.weight_decay": "--weight-decay or --recipe",
    "seed": "--seed",
    "shape.context": "--context",
    "shape.heads": "--heads",
    "shape.layers": "--layers",
    "shape.vocabulary": "--vocabulary",
    "shape.width": "--width",
    "size": "--size",
    "start.step": "RUN",
    "start.weights": "RUN",
}


def config_hash(config: Mapping[str, Any]) -> str:
    """Return a hash of ``config`` as 16 hex digits; the order of keys does not matter."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def require_same(was: Mapping[str, Any], now: Mapping[str, Any], checkpoint: Path) -> None:
    """Raise ``UserError`` if ``now`` differs from ``was``, the configuration of ``checkpoint``.

    The message names the values that differ, by their keys and the options that set them.
    """
    if config_hash(was) == config_hash(now):
        return
    before, after = _values(was), _values(now)
    differ = [
        key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)
    ]
    if "workload" in differ:  # then nothing else can be compared
        differ = ["workload"]
    changes: dict[str, str] = {}  # one per option: a changed file has another size and hash
    for key in differ:
        option = OPTIONS.get(key)
        line = f"{key} was {before.get(key)!r}, is {after.get(key)!r}"
        changes.setdefault(option or key, f"{line} ({option})" if option else line)
    raise UserError(
        f"{checkpoint} was written with another configuration: {'; '.join(changes.values())}",
        "resume with the same options, or start again in another --output folder",
    )


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by dotted keys, after a round trip through JSON: a tuple becomes a list."""
    return dict(_flatten(json.loads(json.dumps(config)), ""))


def _flatten(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield key, value
        return
    for name, item in value.items():
        yield from _flatten(item, f"{key}.{name}" if key else name)
