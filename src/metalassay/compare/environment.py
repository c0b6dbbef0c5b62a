"""Measure what environment variables do to a workload: one after the other, and all together.

Each is a comparison by the rule of ``compare``: A has the environment as it is, B has the variable beside it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalassay import compare
from metalassay.compare import result
from metalassay.compare.result import Comparison
from metalassay.compare.sampling import Progress
from metalassay.environment.settings import Setting
from metalassay.statistics import decision
from metalassay.workers import specs
from metalassay.workers.specs import Spec


@dataclass(frozen=True)
class Effect:
    """What some variables do; ``comparison`` is None where they were not measured, and ``why_not`` says why."""

    variables: Mapping[str, str | None]
    comparison: Comparison | None = None
    why_not: str = ""

    @property
    def name(self) -> str:
        """Return the assignments, or the bare names of variables that are not set."""
        return " ".join(
            name if value is None else f"{name}={value}" for name, value in self.variables.items()
        )

    @property
    def verdict(self) -> str:
        """One of "faster", "slower", "same", "inconclusive" and "not measured"."""
        return self.comparison.verdict if self.comparison else "not measured"

    def as_dict(self) -> dict[str, Any]:
        """Return the effect for JSON."""
        return {
            "variables": dict(self.variables),
            "verdict": self.verdict,
            "why_not": self.why_not,
            "comparison": self.comparison.as_dict() if self.comparison else None,
        }


def measure(
    what: str,
    settings: Sequence[Setting],
    *,
    device: str = "cpu",
    budget: float = 300.0,
    margin: float = decision.MARGIN,
    seed: int = 0,
    progress: Callable[[str, Progress], None] = lambda _name, _step: None,
) -> tuple[Effect, ...]:
    """Compare ``what`` (a workload, or a function as in my.py::step) with and without the settings.

    ``device`` is where a workload runs that names none. ``budget`` is in seconds of wall time for all
    comparisons, which share the error rate of one. A comparison of all that were measured is added where
    there are several. Ctrl+C ends the comparison that runs and those after it. Raises ``UserError``.
    """
    spec = specs.parse(what, device)
    unmeasured = [(each, unmeasurable(each, spec)) for each in settings]
    rest = [
        Effect({each.variable: each.value if each.yours is None else each.yours}, why_not=why)
        for each, why in unmeasured
        if why
    ]
    groups: dict[str, dict[str, str]] = {}
    for each, why in unmeasured:
        if not why and each.value is not None:
            name = each.rule.together or each.variable
            groups.setdefault(name, {})[each.variable] = each.value
    trials = list(groups.values())
    if len(trials) > 1:
        trials.append({name: value for group in trials for name, value in group.items()})
    ends, effects = time.monotonic() + budget, []
    for number, trial in enumerate(trials):
        effect = Effect(trial)
        left = max(ends - time.monotonic(), 1.0)
        comparison = compare.compare(
            what,
            what,
            device=device,
            budget=left / (len(trials) - number),
            margin=margin,
            bound=margin,
            family=len(trials),
            seed=seed,
            variables=trial,
            progress=lambda step, name=effect.name: progress(name, step),  # type: ignore[misc]
        )
        effects.append(dataclasses.replace(effect, comparison=comparison))
        if comparison.interrupted:
            break
    return (*effects, *rest)


def unmeasurable(setting: Setting, spec: Spec) -> str:
    """Return why no timing of ``spec`` can show what a setting does, or ""."""
    rule = setting.rule
    if setting.yours is not None:
        return "it is yours, and stays"
    if setting.value is None:
        return setting.why_not
    if not rule.matters:
        return rule.unmeasured
    if rule.matters == "function":
        return "" if spec.kind != "workload" else "our workloads do nothing that it acts on"
    return "" if rule.matters == spec.device else f"it acts on {rule.matters} only"


def verdict(effect: Effect) -> str:
    """Return what was found, as a sentence without a subject."""
    comparison = effect.comparison
    if comparison is None:
        return f"not measured: {effect.why_not}"
    decided = comparison.decision
    if decided is None:
        return f"inconclusive: too few replicates ({comparison.replicates}) for an interval"
    if comparison.interrupted:
        return "inconclusive: interrupted"
    if decided.verdict == decision.SAME and not decided.distrusted:
        span = f"[{decided.low:+.1%}, {decided.high:+.1%}]"
        return f"no difference >= {decided.margin * 100:g} % {span}"
    return result.verdict(decided)
