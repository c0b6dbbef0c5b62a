"""Answer errors of programs and libraries that were written for another release of a library.

``find`` recognises them, asks ``bugs.api_history`` which releases fit, and says what to write instead
or what to install. It answers only about what the history knows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from metalassay import bugs, pep440
from metalassay.diagnosis import api_calls, api_names
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context
from metalassay.environment import versions as environment

_PINNED = re.compile(r"(?<![\w-])([a-z][\w-]*)==(\d[\w.]*)")
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
    return tuple(_checked(answer, installed) for answer in answers if answer)


def _checked(answer: Found, installed: Mapping[str, str]) -> Found:
    """Name the known bugs that a command of the answer leads to; the steps without one come first."""
    told = {step: _known_bug_after(step, installed) for step in answer.do}
    if not any(told.values()):
        return answer
    fine = [step for step, bug in told.items() if not bug]
    rest = [f"{step} (then comes the known bug {bug})" for step, bug in told.items() if bug]
    return replace(answer, do=(*fine, *rest))


def _known_bug_after(step: str, installed: Mapping[str, str]) -> str:
    """Return the known bug that raises with the versions that a command pins, "" if there is none."""
    pinned = dict(_PINNED.findall(step))
    if not pinned:
        return ""
    after = {name: v for name, v in {**installed, **pinned}.items() if pep440.is_version(v)}
    return next(
        (
            bug.id
            for bug in bugs.load()
            if pinned.keys() & set(bug.packages)
            and not bug.reported_only
            and any(symptom.raises and bug.hits(after, symptom.id) for symptom in bug.symptoms)
            and len(set(bug.packages) - environment.MACHINE) > 1
        ),
        "",
    )
