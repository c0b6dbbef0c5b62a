"""Say how a program ended, why as far as that can be known, and whether starting it again can help.

The rules are in endings.toml; what a signal means is here, because it depends on what else was seen.
"""

from __future__ import annotations

import functools
import re
import signal
import tomllib
from dataclasses import dataclass
from importlib import resources

RESTARTS = ("yes", "no", "progress")

_LAST = 8_000  # characters of the output in which a cause is looked for; a traceback is shorter
_LONGEST_LINE = 200
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS")


@dataclass(frozen=True)
class Seen:
    """What was seen of a program's end, beside its exit code and its last output.

    ``oom_kills`` is how many processes the kernel killed for memory in its control group meanwhile,
    None if that is unknown. ``free`` is the part of the memory that was free at the last look (0 to
    1), ``free_age`` how many seconds ago that was. ``steps`` are optimizer steps since the start, None
    if no process reported any. ``exception`` is the exception that ended it, if a process told us or
    the output shows it. ``by_us`` is why `metalassay run` ended it, and ``user`` whether a person did,
    with Ctrl+C or a signal to us. ``zero_steps`` is what the guard said.
    """

    oom_kills: int | None = None
    free: float | None = None
    free_age: float = 0.0
    steps: int | None = None
    exception: str | None = None
    by_us: str | None = None
    user: bool = False
    zero_steps: str | None = None


@dataclass(frozen=True)
class Ending:
    """How a program ended: ``cause`` (an id), one sentence, and whether to start it again.

    ``restart`` is one of ``RESTARTS`` and ``why`` says what that rests on.
    """

    cause: str
    says: str
    restart: str
    why: str


@dataclass(frozen=True)
class Rule:
    """One row of endings.toml, which explains the fields."""

    cause: str
    patterns: tuple[str, ...]
    says: str
    restart: str
    source: str


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Return all rules, in the order of the file. Raises ``TypeError`` for an unknown field."""
    text = resources.files(__package__).joinpath("endings.toml").read_text("utf-8")
    rows = tomllib.loads(text)["ending"]
    return tuple(Rule(**{**row, "patterns": tuple(row["patterns"])}) for row in rows)


def classify(code: int, output: str, seen: Seen) -> Ending:
    """Return how a program ended whose exit code, or minus its signal, is ``code``."""
    if seen.by_us is not None:
        return Ending("ended by metalassay", seen.by_us, "yes", "it was ended before it failed")
    if code == 0:
        return Ending("finished", "it finished", "no", "there is nothing left to do")
    if seen.user:
        return Ending("interrupted", f"you ended it ({_by(code)})", "no", "you ended it")
    killed = -code if code < 0 else code - 128 if code > 128 else None
    name = None if killed is None else _signal(killed)
    if name is not None:
        return _by_signal(name, code, output, seen)
    if seen.zero_steps is not None:
        return Ending("zero steps", seen.zero_steps, "no", "it would take no step again")
    return _from_output(code, output, seen)


def _by_signal(name: str, code: int, output: str, seen: Seen) -> Ending:
    """Say what a signal means; ``code`` is positive if a shell or launcher tells of it."""
    told = f"it ended with exit code {code}, as after " if code > 0 else ""
    if name == "SIGKILL":
        return _killed(f"{told}{name}" if told else "it was killed (SIGKILL)", seen)
    cause = f"signal {name}"
    if name in _CRASHES:
        says = (
            f"{told}a crash in native code ({name})"
            if told
            else f"it crashed in native code ({name})"
        )
        if line := _reason(output):
            says += f": {line}"
        return Ending(cause, says, "progress", "a crash in native code may not repeat")
    if name == "SIGPIPE":
        says = f"{told}{name}" if told else "whoever read its output has gone (SIGPIPE)"
        return Ending(cause, says, "no", "nobody reads what it writes")
    # Sent by a person, by a time limit, or by the system that ends the session.
    says = f"{told}{name}" if told else f"it was ended from outside ({name})"
    return Ending(cause, says, "no", "whoever sent that signal wanted it to end")


def _from_output(code: int, output: str, seen: Seen) -> Ending:
    if code in (126, 127):
        says = f"the shell could not start it (exit code {code})"
        return Ending("not started", says, "no", "it would end in the same way")
    found = _match(output, seen.exception)
    if found is None:
        line = f": {shortened(seen.exception)}" if seen.exception else ""
        restart = "no" if code == 2 and not seen.steps else "progress"
        why = (
            "exit code 2 before the first step means a wrong command line"
            if restart == "no"
            else "an error that nothing explains may not repeat"
        )
        return Ending(f"exit code {code}", f"it ended with exit code {code}{line}", restart, why)
    rule, line = found
    if rule.cause == "a process was killed":
        return _killed(rule.says.format(line=line), seen)
    whys = {
        "yes": "that may pass",
        "no": "it would end in the same way",
        "progress": "it got further than its start",
    }
    return Ending(rule.cause, rule.says.format(line=line), rule.restart, whys[rule.restart])


def _killed(what: str, seen: Seen) -> Ending:
    """Say who killed it: the kernel, for memory; probably for memory; or somebody."""
    if seen.oom_kills:
        return Ending(
            "killed for memory",
            f"{what}: the kernel killed it because memory ran out",
            "yes",
            "its memory is free again",
        )
    if seen.free is not None and seen.free < LOW_MEMORY:
        age = f" {seen.free_age:.0f} s before" if seen.free_age >= 1 else ""
        return Ending(
            "killed for memory",
            f"{what}, probably because memory ran out: {100 * seen.free:.0f} % was free{age}",
            "yes",
            "its memory is free again",
        )
    known = "" if seen.oom_kills is None else ", and not by the kernel for memory"
    return Ending(
        "killed", f"{what} by another program or a person{known}", "yes", "it did not fail"
    )


LOW_MEMORY = 0.08
"""The part of free memory at the last look below which a SIGKILL is taken for one for memory."""


def _match(output: str, exception: str | None) -> tuple[Rule, str] | None:
    """Return the rule that fits the exception, or else the latest fitting line of the output."""
    if exception is not None:
        for rule in rules():
            for pattern in rule.patterns:
                if re.search(pattern, exception, re.MULTILINE):
                    return rule, shortened(exception)
    last = output[-_LAST:]
    best: tuple[int, Rule] | None = None
    for rule in rules():
        for pattern in rule.patterns:
            for match in re.finditer(pattern, last, re.MULTILINE):
                if best is None or match.start() > best[0]:
                    best = (match.start(), rule)
    if best is None:
        return None
    start = last.rfind("\n", 0, best[0]) + 1
    end = last.find("\n", best[0])
    return best[1], shortened(last[start : end if end >= 0 else len(last)])


def _reason(output: str) -> str | None:
    """Return what native code printed before it aborted."""
    found = re.findall(
        r"^.*(?:failed assertion|Fatal Python error|terminating due to|Assertion failed).*$",
        output[-_LAST:],
        re.MULTILINE,
    )
    return shortened(found[-1]) if found else None


def shortened(text: str) -> str:
    """Return the first line of a text, cut to a length that a person reads."""
    line = text.strip().split("\n", 1)[0].strip(" |\t")  # an exception group draws bars
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def _signal(number: int) -> str | None:
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def _by(code: int) -> str:
    name = _signal(-code) if code < 0 else _signal(code - 128) if code > 128 else None
    return name or f"exit code {code}"


@dataclass(frozen=True)
class Policy:
    """When to start a program again: at most ``restarts`` times, the first after ``backoff`` seconds."""

    restarts: int = 0
    backoff: float = 10.0

    def wait(self, failures: int) -> float:
        """Return the seconds to wait before the restart after this many failures in a row."""
        return float(min(self.backoff * 2.0 ** min(max(failures - 1, 0), 60), LONGEST_BACKOFF))


LONGEST_BACKOFF = 600.0
"""Seconds; who waits longer for a network does not notice the difference."""


def decide(
    ending: Ending, previous: Ending | None, *, steps: int | None, left: int, known: str | None
) -> tuple[bool, str]:
    """Return whether to start again, and why.

    ``previous`` is how the start before ended, if it took no step either; ``steps`` how many optimizer
    steps this one took (None: nobody counted); ``left`` how many restarts are left; ``known`` the known
    bug or limit that explains the end, if one does.
    """
    if ending.restart == "no":
        return False, ending.why
    if ending.restart == "progress" and not steps:
        if previous is not None and ending.says == previous.says:
            return False, "it ended in the same way twice, without a step between"
        if known is not None:
            return False, f"{known} explains it, so it would end in the same way"
        if steps == 0 and ending.cause.startswith("out of memory"):
            return False, "it ran out of memory before its first step"
    if left <= 0:
        return False, "no restart is left"
    return True, ending.why
