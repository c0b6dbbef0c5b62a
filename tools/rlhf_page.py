"""Write the tables of docs/rlhf.md: which TRL accepts which argument of guide 003's PPOConfig, and what to write.

    python tools/rlhf_page.py            write docs/rlhf.md
    python tools/rlhf_page.py --check    write nothing; exit with code 1 if the page would change

The arguments are read from the API history (src/metalassay/bugs/data/api), which was read from the source of
every release; what stands in their place is compat/ppo_equivalents.toml, which compat/test_trl_ppo.py executes.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Method, Timeline
from metalassay.files import write_atomically

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "rlhf.md"
TABLE = tomllib.loads((ROOT / "compat" / "ppo_equivalents.toml").read_text("utf-8"))
PLACES = ("trl.PPOConfig", "trl.experimental.ppo.PPOConfig")
# TRL's configuration inherits arguments of TrainingArguments, which all these releases have.
TRANSFORMERS = {"0": "4.52.4", "1": "5.15.0"}


def accepts(place: str, argument: str) -> Timeline:
    """Return the releases of TRL whose class at ``place`` takes an argument."""
    history = api_history.history("trl")
    module, _, name = place.rpartition(".")
    there = history.name(module, name)
    inside = "trl.experimental" in place

    def state(index: int) -> bool | None:
        if there.states[index] is not True:
            return there.states[index]
        release = history.releases[index]
        where = api_history.environment(
            {"trl": release, "transformers": TRANSFORMERS[release.partition(".")[0]]}
        )
        paths = [
            each
            for each in history.paths(name)
            if history.exists(each, index) and ("experimental" in each) == inside
        ]
        # In a few releases, the class at the top level is defined among the experimental ones.
        paths = paths or [each for each in history.paths(name) if history.exists(each, index)]
        if len(paths) != 1:
            return None
        found = api_history.method(paths[0], "__init__", where)
        if not isinstance(found, Method) or found.signature is None:
            return None
        return found.signature.accepts(argument)

    return history.timeline(state)


def arguments() -> Iterator[list[str]]:
    """Yield a row for each argument of the guide."""
    for argument, value in TABLE["guide"].items():
        yield [
            f"`{argument}={value}`",
            *(accepts(place, argument).words() for place in PLACES),
        ]


def presence() -> list[str]:
    """Return the row that says where the class itself is."""
    history = api_history.history("trl")
    found = [history.name(*place.rsplit(".", 1)).words() for place in PLACES]
    return ["the class itself", *found]


def code(row: dict[str, Any]) -> str:
    """Return the call of a row of the equivalents as Python, as ruff formats it."""
    given = "".join(f"    {name}={value!r},\n" for name, value in row["arguments"].items())
    return f"{row['config'].rpartition('.')[2]}(\n{given})"


def equivalents() -> Iterator[str]:
    """Yield the sections with what to write for each range of releases."""
    for row in TABLE["equivalent"]:
        span = f"TRL {row['first']} to {row['last']}" if row["last"] else f"TRL {row['first']} on"
        module, _, name = row["config"].rpartition(".")
        ran = ", ".join(row["executed"])
        yield f"**{span}** (executed with {ran}): {row['says']}.\n"
        yield f"```python\nfrom {module} import {name}\n\nconfig = {code(row)}\n```\n"


def page(text: str) -> str:
    """Return ``text`` with its generated parts made again."""
    heads = ["argument", *(f"`{place}`" for place in PLACES)]
    table = tabulate([presence(), *arguments()], heads, tablefmt="pipe", disable_numparse=True)
    for name, made in (("arguments", table + "\n"), ("equivalents", "\n".join(equivalents()))):
        begin, end = f"<!-- {name}: tools/rlhf_page.py -->", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{PAGE} has no place for {name}")
        text = f"{before}{begin}\n\n{made}\n{end}{after}"
    return text


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    written = PAGE.read_text("utf-8")
    made = page(written)
    if options.check:
        return int(made != written)
    write_atomically(PAGE, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
