"""Write the chosen environment variables: in the syntax of a shell, and in words."""

from __future__ import annotations

import difflib
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metalassay.environment import settings, variables
from metalassay.environment.settings import Setting
from metalassay.fields import one_line, printable

SHELLS = ("bash", "zsh", "fish", "dotenv")
WIDTH = 80
_OTHER_SYNTAX = ("csh", "tcsh", "nu", "pwsh", "elvish", "xonsh")
_SURE = {
    "measured": "measured by us",
    "executed": "executed by us",
    "read": "read in the source",
    "documented": "documented by its makers",
}
_SHOWN = 60  # characters of a value of the user
_PLAIN = re.compile(r"[A-Za-z0-9_./:,+-]+")


def shell_of(path: str) -> str | None:
    """Return the syntax for the shell that ``$SHELL`` names; None for one with a syntax of its own."""
    name = path.rpartition("/")[2]
    if name in _OTHER_SYNTAX:
        return None
    return name if name in ("zsh", "fish") else "bash"


def script(chosen: Sequence[Setting], shell: str, head: str) -> str:
    """Return lines for ``eval``, ``source`` or a file: comments of at most 80 columns and assignments."""
    lines = list(_comment(head))
    for setting in chosen:
        if setting.value is not None:
            lines += ["", *_comment(f"{setting.rule.reason} ({_SURE[setting.rule.sure]})")]
            lines.append(assignment(setting.variable, setting.value, shell))
    yours = [setting for setting in chosen if setting.yours is not None]
    for setting in yours:
        lines += ["", *_comment(f"Yours, and it stays: {_shown(setting)}")]
        for trap in setting.traps:
            lines += _comment(f"But: {trap.says} Expected: {trap.expected}.")
    others = [setting for setting in chosen if setting.why_not]
    if others:
        lines += ["", *_comment("Not set here:")]
        for setting in others:
            lines += _comment(f"{setting.variable}: {setting.why_not}", indent="  ")
    lines += [
        "",
        *_comment("What shows that one works: metalassay env --explain NAME"),
        *_comment("What guides set and this does not, and why: metalassay env --left-out"),
    ]
    return "\n".join(lines)


def assignment(name: str, value: str, shell: str) -> str:
    """Return the line that sets a variable, for a name that needs no quotes."""
    if shell == "fish":
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"set -gx {name} " + (value if _PLAIN.fullmatch(value) else f"'{escaped}'")
    if shell == "dotenv":
        return f"{name}=" + (value if _PLAIN.fullmatch(value) else f"'{value}'")
    return f"export {name}={shlex.quote(value)}"


def as_dict(chosen: Sequence[Setting]) -> dict[str, Any]:
    """Return everything for JSON; "set" alone is what to add to an environment."""
    return {
        "schema": "metalassay.environment/1",
        "set": {each.variable: each.value for each in chosen if each.value is not None},
        "yours": {each.variable: each.yours for each in chosen if each.yours is not None},
        "settings": [
            {
                "variable": each.variable,
                "value": each.value,
                "yours": each.yours,
                "traps": [trap.id for trap in each.traps],
                "why_not": each.why_not,
                "reason": each.rule.reason,
                "sure": each.rule.sure,
                "shown": each.rule.shown,
                "claim": each.rule.claim,
                "link": each.rule.link,
            }
            for each in chosen
        ],
    }


def left_out(width: int) -> str:
    """Return the variables that are left out, with the reasons."""
    return "\n".join(
        line
        for each in settings.left_out()
        for line in (each.variable, *_fields({"why": each.reason, "link": each.link}, width))
    )


def explanation(name: str, chosen: Sequence[Setting], width: int) -> str | None:
    """Return all that is known about a variable; None for an unknown one, see ``similar``."""
    ours = [setting for setting in chosen if setting.variable == name]
    others = [each for each in settings.left_out() if each.variable == name]
    if not ours and not others:
        return None
    lines = [name]
    for setting in ours:
        lines += _fields(_about(setting), width)
    for each in others:
        about = {"here": "left out", "why": each.reason, "claim": _claim(each.claim)}
        lines += _fields({**about, "link": each.link}, width)
    traps = [rule for rule in variables.load() if rule.variable == name and not rule.absent]
    if ours and traps:
        for number, trap in enumerate(traps):
            text = f"{trap.says} Expected: {trap.expected}."
            lines += _fields({"" if number else "beware": text}, width)
    return "\n".join(lines)


def similar(name: str) -> list[str]:
    """Return the variables whose names are near a name that is unknown."""
    known = [rule.variable for rule in settings.load()]
    known += [each.variable for each in settings.left_out()]
    return difflib.get_close_matches(name.upper(), dict.fromkeys(known), n=3)


def _about(setting: Setting) -> Mapping[str, str]:
    if setting.yours is not None:
        here = f"yours stays: {_shown(setting)}"
    elif setting.value is not None:
        here = f"set to {setting.value}"
    else:
        here = f"not set: {setting.why_not}"
    wrong = " ".join(trap.says for trap in setting.traps)
    return {
        "here": here,
        "but": wrong,
        "why": setting.rule.reason,
        "sure": _basis(setting),
        "claim": _claim(setting.rule.claim),
        "link": setting.rule.link,
    }


def _claim(claim_id: str) -> str:
    if not claim_id:
        return ""
    from metalassay.claims import catalogue

    claim = catalogue.get(claim_id)
    return f"{claim.claim}: {claim.verdict}; {claim.truth} (docs/ledger.md#{claim.id})"


def _basis(setting: Setting) -> str:
    return f"{_SURE[setting.rule.sure]}: {setting.rule.shown}"


def _shown(setting: Setting) -> str:
    """Return the user's assignment on one line: a value may hold anything, a line break too."""
    value = one_line(printable(setting.yours or ""))
    return f"{setting.variable}={value[:_SHOWN]}{'…' if len(value) > _SHOWN else ''}"


def _comment(text: str, indent: str = "") -> Iterator[str]:
    room = WIDTH - len("# ") - 2 * len(indent)
    for number, line in enumerate(textwrap.wrap(text, room)):
        yield f"# {indent}{'  ' if indent and number else ''}{line}"


def _fields(fields: Mapping[str, str], width: int) -> Iterator[str]:
    for name, text in fields.items():
        # Addresses and tests are to be copied whole.
        lines = textwrap.wrap(
            text, max(width - 10, 20), break_long_words=False, break_on_hyphens=False
        )
        for number, line in enumerate(lines):
            yield f"  {'' if number else name:<7} {line}"
