"""Runs hostile inputs by the thousand: ``nox -s fuzz -- --inputs 50000``.

Each failure is made smaller while it stays of its kind, and kept in tests/faults/kept, whose files the
suite runs again for ever.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from tests.faults import commands, inputs, interrupt, run_input
from tests.faults.inputs import Input
from tests.faults.interrupt import Fault
from tests.faults.run_input import Outcome

from metalassay.cli import main as command_line

KEPT = Path(__file__).with_name("kept")
ROWS = commands.load()
PARSERS = commands.parsers()
for _each in command_line.COMMANDS.values():
    importlib.import_module(f"metalassay.cli.{_each.module}")


def tried(given: Input) -> tuple[Outcome, list[str]]:
    """Run an input and return what it left and what is wrong with that.

    On a machine that has other work a command may take longer than its limit: it hangs if it does twice.
    """
    row = ROWS[given.command]
    outcome = run_input.run(command_line.main, given, row)
    if outcome.hung:
        outcome = run_input.run(command_line.main, given, row)
    return outcome, run_input.faults(given, row, outcome)


def one(seed: int, command: str = "") -> tuple[Input, float, list[str]]:
    """Run the input of a seed."""
    given = inputs.make(ROWS, PARSERS, seed, command)
    outcome, wrong = tried(given)
    return given, outcome.seconds, wrong


def kind(fault: str) -> str:
    """Return the kind of a fault: its first word, and of a traceback the class of the error."""
    first, _, rest = fault.partition(": ")
    return f"{first}: {rest.partition(':')[0]}" if first == "traceback" else first


def smaller(given: Input, wrong: str, fails: Callable[[Input], list[str]]) -> Input:
    """Return a smaller input with a fault of the same kind: fewer arguments, files, surroundings."""
    wanted = kind(wrong)
    again = True
    while again:
        again = False
        for candidate in _smaller(given):
            if wanted in map(kind, fails(candidate)):
                given, again = candidate, True
                break
    return given


def _smaller(given: Input) -> Iterator[Input]:
    if given.surroundings != "plain":
        yield replace(given, surroundings="plain")
    if given.stdin:
        yield replace(given, stdin="")
    for at in range(len(given.arguments)):
        yield replace(given, arguments=given.arguments[:at] + given.arguments[at + 1 :])
    for name in given.files:
        yield replace(given, files={each: k for each, k in given.files.items() if each != name})
        if given.files[name] != "valid":
            yield replace(given, files={**given.files, name: "valid"})
    for at, word in enumerate(given.arguments):
        if len(word) > 20:
            half = (*given.arguments[:at], word[: len(word) // 2], *given.arguments[at + 1 :])
            yield replace(given, arguments=half)


def keep(given: Input, wrong: Sequence[str]) -> Path:
    """Write a failure to a file that the suite runs again."""
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{given.command.replace(' ', '-')}-{given.seed}.json"
    path.write_text(
        json.dumps({**given.as_json(), "faults": list(wrong)}, indent=1) + "\n", "utf-8"
    )
    return path


def many(
    seeds: Sequence[int], jobs: int, command: str = "", progress: Callable[[str], object] = print
) -> tuple[Counter[str], dict[str, float], list[tuple[Input, list[str]]]]:
    """Run the inputs of all seeds; return inputs and seconds by command, and the failures."""
    counts: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    failures: list[tuple[Input, list[str]]] = []
    said = time.monotonic()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        done = pool.map(
            one, seeds, [command] * len(seeds), chunksize=max(1, min(50, len(seeds) // 20))
        )
        for given, took, wrong in done:
            counts[given.command] += 1
            seconds[given.command] += took
            if wrong:
                failures.append((given, wrong))
                progress(f"seed {given.seed}: {given.command}: {'; '.join(wrong)[:200]}")
            if time.monotonic() - said > 30:
                said = time.monotonic()
                progress(f"{counts.total():,} of {len(seeds):,} inputs, {len(failures)} failures")
    return counts, dict(seconds), failures


def table(
    counts: Counter[str], seconds: dict[str, float], failures: Sequence[tuple[Input, list[str]]]
) -> str:
    """Return the figures by command, for a page in Markdown."""
    kinds = ("traceback", "hang", "signal", "code", "control", "message", "left")
    wrong: dict[str, Counter[str]] = defaultdict(Counter)
    for given, several in failures:
        for each in {kind(fault).partition(":")[0] for fault in several}:
            wrong[given.command][each] += 1
    lines = [
        f"| command | inputs | seconds | {' | '.join(kinds)} |",
        f"|:--|{'--:|' * (2 + len(kinds))}",
    ]
    for command in sorted(counts):
        figures = " | ".join(str(wrong[command][each]) for each in kinds)
        lines.append(f"| {command} | {counts[command]:,} | {seconds[command]:,.0f} | {figures} |")
    total = " | ".join(str(sum(each[k] for each in wrong.values())) for k in kinds)
    lines.append(f"| all | {counts.total():,} | {sum(seconds.values()):,.0f} | {total} |")
    return "\n".join(lines)


def fault_table(faults: Sequence[Fault]) -> str:
    """Return how often each command was interrupted in each way, and how often something was wrong."""
    counts = Counter((fault.command, fault.kind) for fault in faults)
    wrong = Counter(fault.command for fault in faults if fault.wrong)
    lines = [
        f"| command | {' | '.join(interrupt.KINDS)} | wrong |",
        f"|:--|{'--:|' * (1 + len(interrupt.KINDS))}",
    ]
    for command in sorted({fault.command for fault in faults}):
        figures = " | ".join(str(counts[command, each]) for each in interrupt.KINDS)
        lines.append(f"| {command} | {figures} | {wrong[command]} |")
    totals = " | ".join(str(sum(f.kind == each for f in faults)) for each in interrupt.KINDS)
    lines.append(f"| all | {totals} | {sum(wrong.values())} |")
    return "\n".join(lines)


def main() -> int:
    """Run the program: exit code 1 where an input failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=2000, help="how many inputs (default: 2000)")
    parser.add_argument(
        "--faults", type=int, default=0, help="how many commands to interrupt (default: 0)"
    )
    parser.add_argument("--seed", type=int, default=None, help="the first seed (default: the time)")
    parser.add_argument("--command", default="", choices=["", *ROWS], help="of one command only")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args()
    first = time.time_ns() // 1_000_000 if options.seed is None else options.seed
    sys.stdout.write(f"seeds {first} to {first + options.inputs - 1}\n")

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    seeds = range(first, first + options.inputs)
    counts, seconds, failures = many(seeds, options.jobs, options.command, say)
    seen: set[tuple[str, str]] = set()
    for given, wrong in failures:
        about = (given.command, kind(wrong[0]))
        if about in seen:
            continue
        seen.add(about)
        least = smaller(given, wrong[0], lambda each: tried(each)[1])
        path = keep(least, tried(least)[1])
        say(f"kept {path.name}: {wrong[0]}\n  {least.as_json()}"[:600])
    say(table(counts, seconds, failures))
    faults = interrupt.many(interrupt.draw(ROWS, first, options.faults), first, 2 * options.jobs)
    ended_wrong = [fault for fault in faults if fault.wrong]
    for fault in ended_wrong:
        say(f"{fault}")
    if faults:
        say(fault_table(faults))
    return 1 if failures or ended_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
