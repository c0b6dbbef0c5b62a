"""What torch says about operators, as text, and the only answer to such a text."""

from __future__ import annotations

from metalassay.bugs import tracebacks
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.operator_answer import find
from metalassay.mps.emulator import messages
from metalassay.mps.operators import releases

COULD_NOT = (
    "NotImplementedError: Could not run '{}' with arguments from the '{}' backend. This could be because"
    " the operator doesn't exist for this backend. '{}' is only available for these backends: [{}]."
)


def missing(operator: str, torch: str = "2.5.1") -> str:
    """Return the error of a release for an operator such as ``aten::mode``."""
    said = messages.messages(torch, releases.commits()[torch])
    return f"NotImplementedError: {said.not_implemented.format(operator)}"


def only(text: str, installed: dict[str, str]) -> Found:
    [found] = find(tracebacks.clean(text), installed)
    assert found.source == "operator"
    assert found.words in " ".join(text.split()) or found.words.endswith("…")
    return found
