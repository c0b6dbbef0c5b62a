"""What `metalassay claims run` measured: judge it by the rule of comparisons, write it and read it back."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from metalassay.fields import Field, FieldError, one_line, parse_json
from metalassay.files import content
from metalassay.machine import hardware
from metalassay.machine.hardware import Hardware
from metalassay.statistics import decision

FOLDER = Path("reports", "claims")
SHIPPED = "shipped"
"""The folder of this package with the files that others measured and that were reviewed."""
NAME = "metalassay.experiment"
SCHEMA = f"{NAME}/1"
PASSED, FAILED = OUTCOMES = ("passed", "failed")
_FEWEST, _MOST = decision.FEWEST, 1000
MORE, LESS = "more", "less"
_WORDS = {decision.SLOWER: MORE, decision.FASTER: LESS}  # a figure need not be a time


@dataclass(frozen=True)
class Comparison:
    """An arm of an experiment against its base, in one figure.

    ``ratio`` is arm / base with its interval ``low`` to ``high``; ``rounds`` is the number of
    replicates. ``word`` is "more", "less", "same" or "inconclusive", and ``reason`` says why it is
    inconclusive; it is not ``trusted`` where the A/A control differed. ``base_own`` and ``arm_own`` are
    the intervals of the figures themselves.
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
    reason: str = ""
    trusted: bool = True
    base_own: tuple[float, float] = (0.0, math.inf)
    arm_own: tuple[float, float] = (0.0, math.inf)

    def sentence(self) -> str:
        """Return the comparison as one line."""
        return (
            f"{self.what}: {self.base} {self.base_median:.4g}, {self.arm} {self.arm_median:.4g};"
            f" ratio {self.ratio:.3f} [{self.low:.3f}, {self.high:.3f}] in {self.rounds} rounds:"
            f" {self.word}{f' ({self.reason})' if self.reason else ''}"
        )


@dataclass(frozen=True)
class Evidence:
    """One run of an experiment, on one machine.

    ``marks`` are reasons to doubt it, such as a battery; ``outcome`` is that of a test, "" where figures
    were compared. ``rounds`` and ``threads`` are 0 where there are none.
    """

    experiment: str
    machine: Hardware
    device: str
    versions: Mapping[str, str] = field(hash=False)
    comparisons: tuple[Comparison, ...]
    when: datetime
    file: str
    rounds: int = 0
    threads: int = 0
    emulated: bool = False
    marks: tuple[str, ...] = ()
    outcome: str = ""

    @property
    def on_a_mac(self) -> bool:
        """Whether it can say something of Macs: not a virtual one, not under Rosetta, nothing emulated."""
        machine = self.machine
        return (
            machine.system == "Darwin"
            and not machine.virtual
            and not machine.translated
            and not self.emulated
        )

    def conditions(self) -> str:
        """Return machine, device, versions and date in one line."""
        parts = [hardware.describe(self.machine), self.device + (" (emulated)" * self.emulated)]
        if "torch" in self.versions:
            parts.append(f"torch {self.versions['torch']}")
        if self.rounds:
            parts.append(f"{self.rounds} rounds")
        return ", ".join((*parts, f"{self.when:%Y-%m-%d}", *self.marks))


@dataclass(frozen=True)
class Figures:
    """The figures of one comparison, per round: of the base, its A/A control and an arm; none is 0."""

    base: str
    arm: str
    what: str
    of_base: Sequence[float]
    of_control: Sequence[float]
    of_arm: Sequence[float]

    def judge(self, family: int = 1) -> Comparison:
        """Compare the arm with the base as ``metalassay compare`` does; a round is a replicate.

        ``family`` is the number of comparisons in the experiment, which share the error rate.
        Raises ``ValueError`` for too few rounds, sequences of different lengths, and figures that
        are not positive.
        """
        effects = []
        for base, control, arm in zip(self.of_base, self.of_control, self.of_arm, strict=True):
            if not all(map(math.isfinite, (base, control, arm))):
                raise ValueError("a figure that is not finite")
            a, same, b = math.log(base), math.log(control), math.log(arm)
            effects.append((b - (a + same) / 2, same - a))
        # The number of rounds is fixed beforehand, so this is the only analysis.
        decided = decision.decide(effects, analysis=None, alpha=decision.ALPHA / family)
        reason = decided.distrusted or ""
        if decided.verdict == decision.INCONCLUSIVE and not reason:
            reason = f"could have detected a difference of {decided.detectable:.1%}"
        return Comparison(
            base=self.base,
            arm=self.arm,
            what=self.what,
            base_median=statistics.median(self.of_base),
            arm_median=statistics.median(self.of_arm),
            ratio=1 + decided.ratio,
            low=1 + decided.low,
            high=1 + decided.high,
            rounds=len(effects),
            word=_WORDS.get(decided.verdict, decided.verdict),
            reason=reason,
            trusted=decided.distrusted is None,
            base_own=_own(self.of_base, family),
            arm_own=_own(self.of_arm, family),
        )


def _own(values: Sequence[float], family: int) -> tuple[float, float]:
    """Return the interval of the geometric mean of the figures."""
    found = decision.interval([math.log(value) for value in values], decision.ALPHA / family)
    return math.exp(found.low), math.exp(found.high)


def document(
    *,
    experiment: str,
    device: str,
    emulated: bool,
    threads: int | None,
    figures: Sequence[Figures],
    started: str,
    seconds: float,
    versions: Mapping[str, str],
    machine: Hardware,
    marks: Iterable[str],
    outcome: str = "",
) -> dict[str, Any]:
    """Lay out the file of a run; ``outcome`` is that of a test, which has no figures."""
    return {
        "schema": SCHEMA,
        "experiment": experiment,
        "device": device,
        "emulated": emulated,
        "threads": threads,
        "outcome": outcome,
        "comparisons": [asdict(one) for one in figures],
        "started": started,
        "seconds": round(seconds, 3),
        "versions": dict(versions),
        "hardware": hardware.as_dict(machine),
        "marks": list(marks),
    }


def read(top: Field, file: str) -> Evidence:
    """Read a parsed file; ``file`` is its name as it is shown.

    The figures are judged again, so that a file always has the verdict of the present rule. Raises
    ``FieldError`` for a missing or wrong field, and for a device that contradicts the machine.
    """
    device = top.get("device").one_of(("cpu", "mps", "system"))
    emulated = top.get("emulated").flag()
    machine = hardware.from_dict(top.get("hardware").value)
    if device == "mps" and machine.system != "Darwin" and not emulated:
        raise FieldError(f"device mps, but the machine runs {machine.system}")
    outcome = top.get("outcome").text()
    rows = [_figures(one) for one in top.get("comparisons").each()]
    if bool(rows) == bool(outcome):
        raise FieldError("neither figures nor the outcome of a test, or both")
    if outcome:
        top.get("outcome").one_of(OUTCOMES)
    lengths = {len(row.of_base) for row in rows}
    if len(lengths) > 1:
        raise top.get("comparisons").wrong("comparisons of equally many rounds")
    return Evidence(
        experiment=top.get("experiment").name(),
        machine=machine,
        device=device,
        versions=top.get("versions").texts(),
        comparisons=tuple(row.judge(family=len(rows)) for row in rows),
        when=top.get("started").moment(),
        file=file,
        rounds=lengths.pop() if lengths else 0,
        threads=top.get("threads").or_none(Field.whole) or 0,
        emulated=emulated,
        marks=tuple(one_line(one.text()) for one in top.get("marks").each()),
        outcome=outcome,
    )


def _figures(row: Field) -> Figures:
    """Return the figures of a comparison: as many of each arm, positive, and enough for an interval."""
    lists = {
        name: [one.number(1e-12, 1e18) for one in row.get(name).each()]
        for name in ("of_base", "of_control", "of_arm")
    }
    number = len(lists["of_base"])
    if not _FEWEST <= number <= _MOST or {len(values) for values in lists.values()} != {number}:
        raise row.wrong(f"lists of {_FEWEST} to {_MOST} figures, equally many of each arm")
    return Figures(row.get("base").name(), row.get("arm").name(), row.get("what").name(), **lists)


def load(folder: Path = FOLDER) -> tuple[list[Evidence], list[str]]:
    """Return the runs in a folder, the newest first, and a warning for each file that cannot be read.

    ``folder`` may also be one file.
    """
    runs, warnings = [], []
    for path in [folder] if folder.is_file() else sorted(folder.glob("*.json")):
        try:
            runs.append(_parsed(content(path), str(path)))
        except (OSError, FieldError) as error:
            warnings.append(one_line(f"{path}: {error}"))
    return sorted(runs, key=lambda run: run.when, reverse=True), warnings


def shipped() -> list[Evidence]:
    """Return the runs that came with this release, the newest first."""
    folder = resources.files(__package__).joinpath(SHIPPED)
    files = [file for file in folder.iterdir() if file.name.endswith(".json")]
    runs = [_parsed(file.read_bytes(), f"shipped: {file.name}") for file in files]
    return sorted(runs, key=lambda run: run.when, reverse=True)


def _parsed(text: bytes, file: str) -> Evidence:
    top = Field(parse_json(text))
    if top.get("schema").text() != SCHEMA:
        raise top.get("schema").wrong(SCHEMA)
    return read(top, file)
