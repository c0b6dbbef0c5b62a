"""Join the cells of all releases into the two files of the atlas."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from metalassay.bugs import api_history
from metalassay.linkcheck import guards, overrides
from metalassay.linkcheck.overrides import Shape

Cell = Mapping[str, Any]


def files(cells: Sequence[Cell]) -> dict[str, bytes]:
    """Return the content of the data files, by name; ``cells`` are in the order of their versions."""
    by_package: dict[str, list[Cell]] = defaultdict(list)
    for each in cells:
        by_package[each["package"]].append(each)
    return {
        "atlas.json.gz": compressed(atlas(by_package)),
        "requirements.json.gz": compressed(
            {
                package: {
                    "releases": [each["version"] for each in these],
                    "requires": presence([each["requires"] for each in these]),
                    "floors": presence([each["floors"] for each in these]),
                }
                for package, these in sorted(by_package.items())
            }
        ),
    }


def compressed(content: Any) -> bytes:
    """Return content as compressed JSON, the same bytes every time."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), 9, mtime=0)


def presence(listed: Sequence[Iterable[str]]) -> dict[str, list[int]]:
    """Return for each text the indices at which it comes and goes, alternating."""
    sets = [set(each) for each in listed]
    found = {}
    for text in sorted(set().union(*sets)):
        changes, there = [], False
        for index, each in enumerate(sets):
            if (text in each) != there:
                there = not there
                changes.append(index)
        found[text] = changes
    return found


def atlas(by_package: Mapping[str, Sequence[Cell]]) -> dict[str, Any]:
    """Return the atlas: rows of breaks, each with the releases of the caller that have it, and where."""
    rows: dict[tuple[Any, ...], list[list[Any]]] = {}

    def add(caller: str, index: int, row: Mapping[str, Any]) -> None:
        file, _, line = row["where"].rpartition(":")
        key = (
            caller, row["provider"], row["kind"], row["what"], file, row["entry"], row["strength"],
            json.dumps(row["bad"]), json.dumps(row["has"]),
        )  # fmt: skip
        runs = rows.setdefault(key, [])
        if runs and runs[-1][0] + len(runs[-1]) - 1 == index:
            runs[-1].append(int(line))
        else:
            runs.append([index, int(line)])

    known: Judged = {}
    for caller, cells in by_package.items():
        for index, cell in enumerate(cells):
            for row in cell["found"]:
                if not row["guarded"] and row["strength"] != guards.GUARDED:
                    add(caller, index, {**row, "provider": row["what"].partition(".")[0]})
            for row in overridden(cell, by_package, known):
                add(caller, index, row)
            for row in truths(cell, by_package):
                add(caller, index, row)
    return {
        "checked": {
            package: [each["version"] for each in cells]
            for package, cells in sorted(by_package.items())
        },
        "interpolated": [],
        "rows": [
            [*key[:7], json.loads(key[7]), json.loads(key[8]), runs]
            for key, runs in sorted(rows.items(), key=lambda each: [str(part) for part in each[0]])
        ],
    }


def spans(states: Sequence[bool | None], state: bool) -> list[list[int]]:
    """Return the stretches of a state, as pairs of first and last index."""
    found: list[list[int]] = []
    for index, each in enumerate(states):
        if each is state:
            if found and found[-1][1] == index - 1:
                found[-1][1] = index
            else:
                found.append([index, index])
    return found


Judged = dict[tuple[str, ...], list[tuple[str, int] | None]]


def overridden(
    cell: Cell, by_package: Mapping[str, Sequence[Cell]], known: Judged
) -> Iterable[dict[str, Any]]:
    """Yield the methods of a cell that some release of their base class calls otherwise.

    ``known`` keeps what was judged: most methods are the same in the next release.
    """
    for base, name, signature, path, where, entries, replaced in cell["overrides"]:
        provider = base.partition(".")[0]
        own = api_history.parse(signature)
        if own is None or provider not in by_package:
            continue
        grouped: dict[tuple[str, int], None] = {}
        question = (base, name, signature, *replaced)
        if question not in known:
            known[question] = [
                _worst(own, name, base, each, replaced) for each in by_package[provider]
            ]
        judged = known[question]
        for found in judged:
            if found is not None and found[0]:
                grouped[found] = None
        fine = [found is None or not found[0] for found in judged]
        if True not in fine:
            continue  # no release calls it so that it works: its own affair
        for what, strength in grouped:
            bad = spans([found == (what, strength) for found in judged], True)
            entry = ", ".join(entries)
            if entry and strength == guards.NEVER:
                entry = ""
            yield {
                "provider": provider,
                "kind": "override",
                "what": f"{path}.{name}({what})",
                "where": where,
                "entry": entry,
                "strength": strength if entry else guards.NEVER,
                "bad": bad,
                "has": spans(fine, True),
            }


def _worst(
    own: api_history.Signature, name: str, base: str, provider: Cell, replaced: Sequence[str]
) -> tuple[str, int] | None:
    """Return what a method refuses of a release's calls, and how surely it is called; None without calls."""
    last = base.rpartition(".")[2]
    paths = [path for path in provider["shapes"] if path == base or path.rpartition(".")[2] == last]
    calls_of = provider["shapes"]
    if not paths or not any(
        name in calls_of.get(each, {}) for each in (paths[0], *provider["above"].get(paths[0], ()))
    ):
        return None
    above = (paths[0], *provider["above"].get(paths[0], ()))
    calls = [
        Shape(positional, tuple(keywords), *rest)
        for each in above
        for positional, keywords, *rest in provider["shapes"].get(each, {}).get(name, ())
    ]
    history = api_history.history(provider["package"])
    index = history.releases.index(provider["version"])
    theirs = api_history.method(above[0], name, {history.package: index})
    signature = theirs.signature if isinstance(theirs, api_history.Method) else None
    found = overrides.worst(own, calls, replaced, signature)
    return (found[0], found[1].strength) if found else ("", 0) if calls else None


def truths(cell: Cell, by_package: Mapping[str, Sequence[Cell]]) -> Iterable[dict[str, Any]]:
    """Yield the flags of a cell that are always true with a release that returns a tuple."""
    for target, about, where, entry in cell["truths"]:
        provider = target.partition(".")[0]
        if provider not in by_package:
            continue
        name = target.rpartition(".")[2]
        states = [
            any(
                path.rpartition(".")[2] == name and path.startswith(target.rpartition(".")[0])
                for path in each["tuples"]
            )
            for each in by_package[provider]
        ]
        if True in states and False in states:
            yield {
                "provider": provider,
                "kind": "return",
                "what": f"{target}({about})",
                "where": where,
                "entry": entry,
                "strength": guards.UNSURE,
                "bad": spans(states, True),
                "has": spans(states, False),
            }
