"""Traces of operators as preflight records them, written by hand."""

from __future__ import annotations

from typing import Any

from metalassay.mps.preflight import predict


def call(
    *path: str,
    count: int = 1,
    line: int = 1,
    node: str = "",
    wide: bool = False,
    dtype: str = "",
    limit: str = "",
) -> Any:
    """Return one entry of a trace; ``path`` lists the operators, outermost first."""
    return {
        "path": list(path),
        "file": "/home/user/train.py",
        "line": line,
        "function": "step",
        "node": node,
        "wide": wide,
        "dtype": dtype,
        "limit": limit,
        "count": count,
        "bytes": 100,
    }


def judged(*calls: Any, versions: list[str] | None = None) -> predict.Preflight:
    """Evaluate a trace recorded with torch 2.13.0."""
    return predict.judge({"torch": "2.13.0", "ended": "", "calls": list(calls)}, versions)
