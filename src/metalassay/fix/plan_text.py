"""Shows a plan and its result in a terminal: a diff of versions, the reason for each, the command."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.environment import executed, managers
from metalassay.environment.managers import Manager
from metalassay.fix.apply import FIXED, Result
from metalassay.fix.resolve import Resolved


def lines(
    found: Resolved,
    before: Mapping[str, str],
    manager: Manager,
    command: Sequence[str],
    width: int,
) -> list[str]:
    """Return the plan as lines of at most ``width`` columns; the command is not broken."""
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
        reason = _reason(change, plan)
        if width - len(begin) >= 30:
            text += _wrap(reason, width, begin, " " * len(begin))
        else:
            text += [begin.rstrip(), *_wrap(reason, width, "      ", "      ")]
    text.append("")
    stopping = fix_plan.stopping(plan.fixes)
    fixed = _count(len(plan.fixes), "known bug")
    verb = "stops" if len(stopping) == 1 else "stop"
    worst = f", {len(stopping)} of which {verb} the training" if stopping else ""
    text += _wrap(f"It fixes {fixed}{worst}.", width)
    for each in plan.ends:
        text += _wrap(f"It ends a break: {each}.", width)
    if plan.brings:
        text += _wrap(f"It brings {_listed(plan.brings)}; none stops the training.", width)
    if plan.remains or plan.keeps:
        text += _wrap(f"It leaves {_listed((*plan.remains, *plan.keeps))}.", width)
    for requirements, why in found.refused[:2]:
        text += _wrap(f"Smaller, but not possible: {' '.join(requirements)}: {why}", width)
    run = executed.find(found.versions)
    text += _wrap(f"This set was {run}." if run else "This set was not executed by us.", width)
    if not found.checked:
        text += _wrap("No installer could be asked whether it can be installed.", width)
    text += ["", fix_plan.as_shell(command) if command else managers.advice(manager)]
    text += ["next: metalassay fix --apply installs it, tries it, and takes it back if it fails"]
    return text


def result_lines(result: Result, manager: Manager, width: int) -> list[str]:
    """Return what became of a change."""
    if result.state != FIXED:
        return [
            *_wrap(f"Not fixed: {'; '.join(result.why)}", width),
            *_wrap(f"{manager.prefix} is as it was before (every file compared).", width),
        ]
    text = _wrap(
        f"Fixed. Tried: {', '.join(result.verdict.tested if result.verdict else ())}.", width
    )
    for each in result.why:
        text += _wrap(f"Not fixed: {each}", width)
    text += _wrap("To go back: metalassay fix --undo", width)
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
