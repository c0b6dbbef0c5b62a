"""The options of `metalassay run`, as its parser returns them."""

from __future__ import annotations


def options(program: str, **others: object) -> dict[str, object]:
    limits = {"max_cpu": 50, "max_memory": None, "monitor": None, "verbose": False}
    return {"background": False, "program": [program], **limits, **others}
