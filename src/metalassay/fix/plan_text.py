"""Shows a plan and its result in a terminal: a diff of versions, the reason for each, the command."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from metalassay import bugs
from metalassay.diagnosis import fix_plan, tested_sets
from metalassay.environment import managers
from metalassay.environment.managers import Manager
from metalassay.fix import record
from metalassay.fix.apply import FIXED, Result
from metalassay.fix.bug_tests import NOT_TESTED
from metalassay.fix.distributions import Installed
from metalassay.fix.record import Record
from metalassay.fix.resolve import Resolved


def lines(
    found: Resolved,
    before: Mapping[str, str],
    manager: Manager,
    command: Sequence[str],
    width: int,
    *,
    applying: bool = False,
) -> list[str]:
    """Return the plan as lines of at most ``width`` columns; the command is not broken.

    What to do next is left out where it is ``applying`` the plan already.
    """
    plan = found.plan
    text = [
        f"{manager.prefix} ({managers.describe(manager)}, Python {before.get('python', '?')})",
        "",
    ]
    if not plan.requirements:
        return text + _nothing(found, before, width)
    name = max(len(change.package) for change in plan.changes)
    old = max(len(change.before) for change in plan.changes)
    new = max(len(change.version or "") for change in plan.changes)
    for change in plan.changes:
        after = change.version or change.requirement.removeprefix(change.package)
        begin = f"  {change.package:<{name}}  {change.before:>{old}} -> {after:<{new}}  "
        text += _wrap(_reason(change, plan), width, begin, " " * len(begin))
    text.append("")
    stopping = fix_plan.stopping(plan.fixes)
    fixed = _count(len(plan.fixes), "known bug")
    if len(stopping) == len(plan.fixes) == 1:
        worst = ", which stops the training"
    elif stopping:
        worst = f", {len(stopping)} of which stop{'s' * (len(stopping) == 1)} the training"
    else:
        worst = ""
    if plan.fixes:
        text += _wrap(f"It fixes {fixed}{worst}.", width)
    for each in plan.ends:
        text += _wrap(f"It ends a break: {each}.", width)
    if plan.brings:
        text += _wrap(f"It brings {_listed(plan.brings)}; none stops the training.", width)
    if found.adds:
        text += _wrap(
            f"It installs {_count(len(found.adds), 'package')} more: {_listed(found.adds)}.", width
        )
    if plan.remains or plan.keeps:
        text += _wrap(f"It does not fix {_listed((*plan.remains, *plan.keeps))}.", width)
    for requirements, why in found.refused[:2]:
        text += _wrap(f"Smaller, but not possible: {' '.join(requirements)}: {why}", width)
    run = tested_sets.find(found.versions)
    if run is None:
        text += _wrap("We have not run this very set; --apply tries it.", width)
    else:
        text += _wrap(f"{run}." if run.between else f"This set was {run}.", width)
    if not found.checked:
        text += _wrap("No installer could be asked whether it can be installed.", width)
    text += ["", fix_plan.as_shell(command) if command else managers.advice(manager)]
    if applying:
        return text
    text += [
        "",
        *_wrap(
            f"next: metalassay fix --apply{_where(manager)} installs it, tries it, and takes it back"
            " if it fails",
            width,
        ),
    ]
    return text


def result_lines(result: Result, manager: Manager, width: int) -> list[str]:
    """Return what became of a change."""
    if result.state != FIXED:
        return [
            *_wrap(f"Not fixed: {'; '.join(result.why)}", width),
            *_wrap(f"{manager.prefix} is as it was before (every file compared).", width),
        ]
    tested = result.verdict.tested if result.verdict else ()
    tried = [each for each in tested if not each.startswith(NOT_TESTED)]
    text = _wrap(f"Fixed. Tried: {', '.join(tried)}.", width)
    for each in tested:
        if each not in tried:
            text += _wrap(f"{each[:1].upper()}{each[1:]}.", width)
    for each in result.why:
        text += _wrap(f"Not fixed: {each}", width)
    text += _wrap(
        f"To go back: metalassay fix --undo{_where(manager)} (the old files stay in"
        f" {record.path_of(manager.prefix).parent}).",
        width,
    )
    return text


def undo_lines(kept: Record, now: Installed | None, width: int) -> list[str]:
    """Return what an undo would change, a package a line; ``now`` is None where Python does not start."""
    began = kept.began.replace("T", " ")[:16]
    text = _wrap(f"This undoes the change of {began} UTC in {kept.prefix}:", width)
    if now is None:
        return [*text, "  its Python does not start, and every changed file is put back"]
    there = now.versions
    changed = [
        (name, there.get(name), kept.versions.get(name))
        for name in sorted({*there, *kept.versions})
        if there.get(name) != kept.versions.get(name) and name != "metalassay"
    ]
    for name, present, before in changed[:20]:
        text.append(f"  {name} {present or '(not installed)'} -> {before or '(not installed)'}")
    if len(changed) > 20:
        text.append(f"  and {len(changed) - 20} more")
    if not changed:
        text.append("  no version differs; changed files are put back")
    return text


def _nothing(found: Resolved, before: Mapping[str, str], width: int) -> list[str]:
    if found.refused:
        text = _wrap("There is a change that would help, but it cannot be installed here:", width)
        for requirements, why in found.refused[:3]:
            text += _wrap(f"{' '.join(requirements)}: {why}", width, "  ", "    ")
    else:
        text = _wrap("No change of version makes this set better.", width)
    hits = [bug for bug in bugs.load() if bug.hits(before) and not bug.reported_only]
    for bug in hits:
        keeping = next((str(fix) for fix in bug.fixes if not fix.install), "")
        if bug.stops and keeping:
            text += _wrap(f"{bug.id}: {keeping}", width, "  ", "    ")
    patches = sorted(bug.patch for bug in hits if bug.patch)
    if patches:
        text += _wrap(
            f"With these versions, a patch helps: {', '.join(patches)} (metalassay.patches).", width
        )
    return text


def _where(manager: Manager) -> str:
    """Return the option that names an environment, "" for that which this runs in."""
    if manager.prefix == Path(sys.prefix):
        return ""
    return f" --env {shlex.quote(str(manager.prefix))}"


def _reason(change: fix_plan.Change, plan: fix_plan.Plan) -> str:
    if not change.fixes:
        return "goes with the others" if len(plan.changes) > 1 else "ends a break"
    first = sorted(change.fixes, key=lambda each: each not in fix_plan.stopping(change.fixes))[0]
    more = len(change.fixes) - 1
    return f"fixes {first}" + (f" and {more} more" if more else "")


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:4])
    return f"{shown} and {len(ids) - 4} more" if len(ids) > 4 else shown


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _wrap(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width=max(width, 40),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
