"""The experiments that decide claims, and what each claim expects of them: reads experiments.toml."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from metalassay.errors import UserError

DEVICES = ("mps", "cpu", "gpu or cpu", "system")


NAMES = (
    *("num_workers=0", "num_workers=4", "float32", "float16", "bfloat16", "BatchNorm", "LayerNorm"),
    *("never", "every 10 epochs", "every 10 batches", "after each batch", "every 50 batches"),
    *("performance cores", "all cores", "4 threads", "1 thread", "the base again"),
    *("no variables", "guide 000", "guide 001", "training", "inference", "gpt-tiny, batch 4"),
    *("one zero before", "nothing before", "one step before", "7,5,5 and 5,3,3"),
    *(f"all {size}" for size in (3, 5, 7, 9)),
    *(f"{mode}, batch {size}" for mode in ("train", "infer") for size in (64, 256)),
    *("milliseconds a pass", "milliseconds a step", "milliseconds a product", "GFLOP/s", "watts"),
    *(f"milliseconds a step, {shapes}" for shapes in ("one shape", "varying shapes")),
    *(f"MB held at most, {shapes}" for shapes in ("one shape", "varying shapes")),
    *("milliseconds of the first step", "MB held at most", "MB at most", "CPU use of all cores"),
    *(f"seconds to the first step, {start} start" for start in ("first", "later")),
    *("samples a second", "steps a second", "samples a joule", "VECLIB_MAXIMUM_THREADS=1"),
)
"""All arms and figures, for `metalassay submit`; a test holds that the arms have these names."""


@dataclass(frozen=True)
class Experiment:
    """One row [[experiment]] of experiments.toml, which explains the fields."""

    name: str
    question: str
    device: str
    rounds: int
    seconds: float
    value: int
    test: str = ""


@dataclass(frozen=True)
class Condition:
    """One row [[decides.when]]: exactly one of ``expects``, ``ratio``, ``value`` and ``values`` is given."""

    arm: str
    what: str
    base: str = ""
    expects: tuple[str, ...] = ()
    ratio: tuple[float, float] | None = None
    value: tuple[float, float] | None = None
    values: Mapping[str, float] = field(default_factory=dict, hash=False)
    tolerance: float = 0.0


@dataclass(frozen=True)
class Decides:
    """One row [[decides]]: what has to be so for the claim to be confirmed."""

    claim: str
    experiment: str
    when: tuple[Condition, ...] = ()
    device: str = ""
    partly: bool = False
    any: bool = False


@functools.cache
def load() -> tuple[Experiment, ...]:
    """Return all experiments, those with the most value per second first: of all claims that they decide."""
    rows = [Experiment(**row) for row in _document()["experiment"]]

    def worth(one: Experiment) -> float:
        return one.value * len(claims_of(one.name)) / one.seconds

    return tuple(sorted(rows, key=lambda one: (-worth(one), one.name)))


@functools.cache
def decisions() -> Mapping[str, Decides]:
    """Return what decides each claim that an experiment can decide, by the claim's id."""
    return {
        row["claim"]: Decides(
            **{**row, "when": tuple(_condition(when) for when in row.get("when", ()))}
        )
        for row in _document()["decides"]
    }


def _condition(row: Mapping[str, Any]) -> Condition:
    lists = {name: tuple(value) for name, value in row.items() if isinstance(value, list)}
    return Condition(**{**row, **lists})


@functools.cache
def _document() -> dict[str, list[dict[str, Any]]]:
    text = resources.files(__package__).joinpath("experiments.toml").read_text("utf-8")
    return tomllib.loads(text)


def get(name: str) -> Experiment:
    """Return the experiment of this name, or the one that decides the claim of this id.

    Raises ``UserError`` for a claim that no experiment decides; ``catalogue.get`` refuses what is no claim.
    """
    from metalassay.claims import catalogue

    by_name = {one.name: one for one in load()}
    if name in by_name:
        return by_name[name]
    claim = catalogue.get(name)
    if claim.id not in decisions():
        raise UserError(
            f"no experiment decides the claim {claim.id}", f"metalassay claims {claim.id}"
        )
    return by_name[decisions()[claim.id].experiment]


def claims_of(experiment: str) -> tuple[str, ...]:
    """Return the ids of the claims that an experiment decides."""
    return tuple(one.claim for one in decisions().values() if one.experiment == experiment)
