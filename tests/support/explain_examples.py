"""Texts to explain: the examples of data/explain_examples.toml, and one well-known message."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

from metalassay.diagnosis import explain

EXAMPLES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "explain_examples.toml").read_text("utf-8")
)["example"]
for _example in EXAMPLES:
    if "frame" in _example:
        _example["text"] = (
            "Traceback (most recent call last):\n"
            f'  File "/home/u/lib/python3.11/site-packages/{_example["frame"]}", line 7, in inner\n'
            f"{_example['text']}"
        )
GRPO = next(each for each in EXAMPLES if "GRPOTrainer(" in each["text"])
FAMOUS = (
    "UnboundLocalError: cannot access local variable 'current_batch' "
    "where it is not associated with a value"
)
CUT = FAMOUS[: FAMOUS.index("_batch") + 3] + "..."
EIGHT = {"python": "3.11.7", "accelerate": "1.8.0", "torch": "2.13.0"}


def found(text: str, installed: dict[str, str]) -> dict[str, str]:
    """Return the ids of the known bugs in the text, in order, and whether each applies."""
    answers = [each.found for each in explain.explain(text, installed, given=True).explanations]
    return {each.id: each.applies for each in answers if each.source == "bug"}


def pipe(data: bytes) -> io.TextIOWrapper:
    """Return a standard input that is a pipe."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
