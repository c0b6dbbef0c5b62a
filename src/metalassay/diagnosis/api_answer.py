"""Answer errors of programs and libraries that were written for another release of a library.

``find`` recognises them, asks ``bugs.api_history`` which releases fit, and says what to write instead
or what to install. It answers only about what the history knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from metalassay.diagnosis import api_calls, api_names
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context

_HANDLERS = {
    "unexpected": api_calls.unexpected,
    "missing": api_calls.missing,
    "takes": api_calls.takes,
    "import": api_names.imported,
    "attribute": api_names.attribute_of_module,
    "module": api_names.module,
    "object": api_names.attribute_of_object,
}


def find(text: str, installed: Mapping[str, str]) -> tuple[Found, ...]:
    """Return an answer to each error of these kinds in a text from ``tracebacks.clean``.

    ``installed`` maps package names to versions; nothing is assumed about a package that it lacks.
    """
    asked = questions(text)
    if not asked:
        return ()
    context = Context.of(text, installed)
    answers = (_HANDLERS[question.kind](question, context) for question in asked)
    return tuple(answer for answer in answers if answer)
