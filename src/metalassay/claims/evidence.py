"""What the experiments of tools/claim_experiments.py found, on which machine: compare, and read back."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path("evidence")
SMALLEST = 0.02  # a ratio nearer to 1 is not called a difference
ENOUGH = 11  # rounds, all but one of which agree: by chance once in 85 times


@dataclass(frozen=True)
class Comparison:
    """An arm of an experiment against its base, in one figure.

    ``ratio`` is the median over rounds of arm / base, ``low`` and ``high`` the extremes. ``word`` is
    "more", "less", "no difference seen" or "too few rounds to say", of the arm.
    """

    base: str
    arm: str
    what: str
    base_median: float
    arm_median: float
    ratio: float
    low: float
    high: float
    rounds: int
    word: str

    def sentence(self) -> str:
        """Return the comparison in a line."""
        return (
            f"{self.what}: {self.base} {self.base_median:.4g}, {self.arm} {self.arm_median:.4g};"
            f" ratio {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}] in {self.rounds} rounds:"
            f" {self.word}"
        )


@dataclass(frozen=True)
class Evidence:
    """One run of an experiment."""

    experiment: str
    machine: str
    device: str
    torch: str
    comparisons: tuple[Comparison, ...]
    file: str


def compare(
    base: str, arm: str, what: str, of_base: Sequence[float], of_arm: Sequence[float]
) -> Comparison:
    """Compare two arms round by round; the sequences belong together and hold no zero."""
    ratios = [a / b for a, b in zip(of_arm, of_base, strict=True)]
    ratio = statistics.median(ratios)
    word = "no difference seen" if len(ratios) >= ENOUGH else "too few rounds to say"
    for side, sign in (("more", 1), ("less", -1)):
        agree = sum(sign * (each - 1) > 0 for each in ratios)
        if len(ratios) >= ENOUGH and agree >= len(ratios) - 1 and sign * (ratio - 1) > SMALLEST:
            word = side
    return Comparison(
        base=base,
        arm=arm,
        what=what,
        base_median=statistics.median(of_base),
        arm_median=statistics.median(of_arm),
        ratio=ratio,
        low=min(ratios),
        high=max(ratios),
        rounds=len(ratios),
        word=word,
    )


def load(experiment: str, folder: Path = FOLDER) -> tuple[list[Evidence], list[str]]:
    """Read the runs of an experiment, oldest name first, and a line for each file that is none."""
    found, warnings = [], []
    for path in sorted(folder.glob(f"{experiment}-*.json")):
        try:
            record: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if record["schema"] != 1:
                raise ValueError(f"schema {record['schema']!r}; this reads 1")
            if record["experiment"] != experiment:
                continue  # another one whose name begins alike
            comparisons = tuple(Comparison(**each) for each in record["comparisons"])
            for each in comparisons:
                each.sentence()  # numbers where numbers belong
            found.append(
                Evidence(
                    experiment=experiment,
                    machine=str(record["machine"]),
                    device=str(record["device"]),
                    torch=str(record["versions"]["torch"]),
                    comparisons=comparisons,
                    file=str(path),
                )
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.append(f"{path}: {type(error).__name__}: {error}")
    return found, warnings
