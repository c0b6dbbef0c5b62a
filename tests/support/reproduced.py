"""A message that was really raised, and the limits that answer it."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from metalassay.bugs import tracebacks
from metalassay.diagnosis import limit_answer


def ids(text: str, **versions: str) -> list[str]:
    """Return the ids of the answers to a text, the best first."""
    return [each.id for each in limit_answer.find(tracebacks.clean(text), versions)]


def traceback_of(action: Callable[[], object], kind: type[BaseException]) -> str:
    """Return the traceback of the exception of that type that ``action`` raises."""
    with pytest.raises(kind) as caught:
        action()
    return "".join(traceback.format_exception(caught.value))
