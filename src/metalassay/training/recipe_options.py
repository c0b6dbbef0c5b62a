"""The options of a training's recipe: their values without an option, with a named recipe, and as they were given."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from metalassay.errors import UserError
from metalassay.training import decay_groups, schedules

DEFAULTS: Mapping[str, Any] = {
    "schedule": schedules.ONE_CYCLE,
    "warm_up": 0.1,
    "clip": 1.0,
    "decay_groups": decay_groups.ALL,
    "ema": 0.0,
    "label_smoothing": 0.0,
    "mixup": 0.0,
}
"""What a training has without an option; ``weight_decay`` depends on the program."""


@functools.cache
def recipes() -> Mapping[str, Mapping[str, Any]]:
    """Return the named recipes, the options of each by name."""
    folder = resources.files("metalassay.training.transit")
    return tomllib.loads(folder.joinpath("recipes.toml").read_text(encoding="utf-8"))


def resolve(options: Mapping[str, Any], weight_decay: float) -> dict[str, Any]:
    """Return the value of each option: as it was given, else the recipe's, else the default.

    Raises ``UserError`` for a recipe that does not exist.
    """
    name = options.get("recipe")
    known = recipes()
    if name is not None and name not in known:
        raise UserError(f"there is no recipe {name!r}", f"choose one of {', '.join(known)}")
    named = known[name] if name else {}
    defaults = {**DEFAULTS, "weight_decay": weight_decay}
    given = {key: value for key in defaults if (value := options.get(key)) is not None}
    return {**defaults, **named, **given}


def check_warm_up(warm_up: float, steps: int) -> None:
    """Raise ``UserError`` for a warm-up that leaves no step after it."""
    if schedules.rising_steps(steps, warm_up) >= steps:
        raise UserError(
            f"a warm-up of {warm_up:g} steps leaves nothing of {steps}",
            f"train longer, as with --steps {4 * int(warm_up)}, or choose --warm-up 0.1",
        )
