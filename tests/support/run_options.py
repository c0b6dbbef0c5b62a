"""The options of `metalassay run`, as its command line makes them."""

from __future__ import annotations

from typing import Any

from metalassay.supervise.command import Options
from metalassay.supervise.launcher import Plan


def options(*program: str, max_cpu: float = 0.5, reports: bool = False, **others: Any) -> Options:
    """Return options to run ``program``; those of a `Plan` and of `Options` may be given together."""
    of_plan = {name: value for name, value in others.items() if name in Plan.__dataclass_fields__}
    rest = {name: value for name, value in others.items() if name not in of_plan}
    return Options(Plan(program, max_cpu=max_cpu, **of_plan), reports=reports, **rest)
