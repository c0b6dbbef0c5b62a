"""The command `metalassay matrix`: list, distribute and run the rows of matrix.toml."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalassay.cli import matrix_fleet, option_types
from metalassay.cli.option_types import whole

if TYPE_CHECKING:
    from metalassay.matrix.matrix_file import Row
    from metalassay.matrix.run_row import Options, Outcome

OUTPUT = Path("reports", "compat")
ENVIRONMENTS = Path(".nox")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the subcommands."""
    parser.description = (
        "List, distribute and run the version sets of matrix.toml, in a checkout of metalassay."
    )
    parser.usage = "metalassay matrix ACTION [options]"
    parser.epilog = """\
actions:
  list       what each row is, how long it took last, and its command
  shard      distribute rows over several machines by the time they take
  run        run rows without nox, and keep their verdict files
  scheduler  start the scheduler of a fleet (docs/fleet.md)
  worker     let this machine run rows for a fleet

examples:
  metalassay matrix list --tag boundary
  metalassay matrix shard --of 4 --tag full --json
  metalassay matrix run accelerate-1.8.0 accelerate-1.9.0 -j 2"""
    actions = parser.add_subparsers(
        required=True,
        prog="metalassay matrix",
        metavar="action",
        dest="action",
        help=argparse.SUPPRESS,
    )
    _configure_list(actions.add_parser("list", help="list the rows"))
    _configure_shard(actions.add_parser("shard", help="distribute rows over machines"))
    _configure_run(actions.add_parser("run", help="run rows"))
    matrix_fleet.configure_scheduler(
        actions.add_parser("scheduler", help="start the scheduler of a fleet")
    )
    matrix_fleet.configure_worker(
        actions.add_parser("worker", help="let this machine run rows for a fleet")
    )


def _configure_list(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print id, Python, requirements, tags, recorded time, key and command of every row. The time"
        " and the key are those of the row's last run, from --output or from the published evidence."
    )
    parser.epilog = """\
examples:
  metalassay matrix list
  metalassay matrix list --tag quick --json
  metalassay matrix list --resolve       which rows have changed since they ran

exit code: 0 done, 1 with --resolve: a row could not be resolved, 2 bad input"""
    _add_choice(parser)
    parser.add_argument(
        "--resolve",
        action="store_true",
        help="resolve each row now, and say whether it would run; needs the package index",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.set_defaults(act=_list)


def _configure_shard(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Distribute rows over N machines so that all of them end at about the same time."
    )
    parser.epilog = """\
examples:
  metalassay matrix shard --of 4 --tag full
  metalassay matrix shard --of 8 --json > shards.json
  metalassay matrix shard --of 12 --tag full --json --machine macos-15 --machine macos-26
                                         jobs of a workflow, at most 256

exit code: 0 done, 2 bad input"""
    parser.add_argument(
        "--of", type=whole(1, 256), required=True, metavar="N", help="how many machines"
    )
    _add_choice(parser)
    parser.add_argument(
        "--machine",
        action="append",
        default=[],
        type=option_types.label,
        metavar="NAME",
        help="list the jobs that run all shards on this machine, each with a name for its files;"
        " repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    parser.set_defaults(act=_shard)


def _configure_run(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run rows: resolve, build the environment, test every known bug, write a verdict file each."
        " Rows that run the smoke test (--tag fresh) train a few steps with each package instead, and are"
        " red where no known bug explains what broke."
        " A row that has finished and whose inputs have not changed is not run again, so that the same"
        " command goes on after an interruption. The output of pytest goes to ROW.log beside the file."
    )
    parser.epilog = """\
examples:
  metalassay matrix run accelerate-1.8.0
  metalassay matrix run --tag boundary -j 2 --output verdicts
  metalassay matrix run --tag fresh      pinned packages beside today's newest
  metalassay matrix run --tag full --scheduler tcp://127.0.0.1:8786
  metalassay report verdicts             the table of what has run

exit code: 0 all green, 1 a row is red or could not be run, 2 bad input,
130 interrupted"""
    _add_choice(parser)
    parser.add_argument(
        "-j", "--jobs", type=whole(1, 256), default=1, metavar="N", help="rows at a time"
    )
    parser.add_argument(
        "--environments",
        type=option_types.path,
        default=ENVIRONMENTS,
        metavar="DIR",
        help="folder of the environments",
    )
    parser.add_argument("--fresh", action="store_true", help="run rows that have not changed too")
    parser.add_argument(
        "--strict", action="store_true", help="a row that should install and does not is red"
    )
    parser.add_argument("--json", action="store_true", help="print how each row ended as JSON")
    matrix_fleet.add_run_options(parser)
    parser.set_defaults(act=_run)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", nargs="*", metavar="ROW", help="ids of rows")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TAG",
        help="rows with this tag, as in quick, boundary, full; repeatable",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=option_types.path,
        default=OUTPUT,
        metavar="DIR",
        help="folder of the verdict files",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    code: int = options.act(options)
    return code


def chosen(options: argparse.Namespace) -> list[Row]:
    """Return the rows that were named, by id or by tag, in the order of the file; all if none were.

    Raises ``UserError`` for an id or a tag that matrix.toml does not have.
    """
    from metalassay.errors import UserError
    from metalassay.matrix import matrix_file

    rows = matrix_file.load(Path()).rows
    tags = {tag for row in rows.values() for tag in row.tags}
    for tag in options.tag:
        if tag not in tags:
            raise UserError(f"no row has the tag {tag!r}", f"one of: {', '.join(sorted(tags))}")
    for row_id in options.rows:
        if row_id not in rows:
            raise UserError(f"{matrix_file.FILE} has no row {row_id!r}", "metalassay matrix list")
    if not options.rows and not options.tag:
        return list(rows.values())
    return [
        row for row in rows.values() if row.id in options.rows or set(row.tags) & {*options.tag}
    ]


def _known(rows: Sequence[Row], output: Path) -> dict[str, float]:
    from metalassay.matrix import durations

    folders = [output, durations.EVIDENCE, durations.FRESH]
    return durations.recorded([row.id for row in rows], folders)


def _list(options: argparse.Namespace) -> int:
    rows = chosen(options)
    known = _known(rows, options.output)
    records = []
    for number, row in enumerate(rows, 1):
        if options.resolve:
            print(f"{number} of {len(rows)}: {row.id}", file=sys.stderr, flush=True)
        records.append(_record(row, known.get(row.id), options))
    if options.json:
        print(json.dumps(records, indent=1))
    else:
        for record in records:
            print("\n".join(_as_lines(record)))
    return 1 if any(record["error"] for record in records) else 0


def _record(row: Row, seconds: float | None, options: argparse.Namespace) -> dict[str, Any]:
    from metalassay.matrix import durations, run_row
    from metalassay.matrix.matrix_file import SMOKE
    from metalassay.results import smoke_file, verdict_file

    kind = smoke_file if row.runs == SMOKE else verdict_file
    key = None
    for folder in (options.output, durations.EVIDENCE, durations.FRESH):
        try:
            key = kind.load(folder / f"{row.id}.json").origin.key
            break
        except (OSError, ValueError):
            continue
    record = {
        **row.record(),
        "bugs": list(row.bugs),
        "seconds": seconds,
        "key": key,
        "command": run_row.command(row),
        "error": "",
    }
    if options.resolve:
        now, why = run_row.key_now(row, Path())
        record |= {"key": now or key, "error": why, "changed": now != key}
    return record


def _as_lines(record: dict[str, Any]) -> list[str]:
    seconds = "not timed" if record["seconds"] is None else f"{record['seconds']:.0f} s"
    given = record["python"]
    python = f"Python {given if isinstance(given, str) else ' or '.join(given)}"
    facts = [seconds, python, " ".join(record["tags"]), f"key {record['key'] or 'not recorded'}"]
    if "changed" in record:
        state = "would run" if record["changed"] else "unchanged"
        facts.append(f"cannot be resolved: {record['error']}" if record["error"] else state)
    return [
        record["id"],
        *textwrap.wrap(", ".join(facts), 76, initial_indent="    ", subsequent_indent="      "),
        *textwrap.wrap(
            " ".join(record["requires"]),
            76,
            initial_indent="    ",
            subsequent_indent="      ",
            break_on_hyphens=False,
        ),
        f"    {record['command']}",
    ]


def _shard(options: argparse.Namespace) -> int:
    from metalassay.matrix import durations, jobs

    rows = chosen(options)
    known = _known(rows, options.output)
    if options.machine:
        names = [row.id for row in rows]
        found = jobs.jobs(names, known, options.of, options.machine)
        if options.json:
            print(json.dumps(found, indent=1))
        else:
            _print_shards([{**job, "shard": job["artifact"]} for job in found])
        return 0
    shards: list[dict[str, Any]] = [
        {"shard": number, "seconds": durations.estimate(names, known), "rows": names}
        for number, names in enumerate(
            durations.shards([row.id for row in rows], known, options.of), 1
        )
    ]
    if options.json:
        print(json.dumps(shards, indent=1))
        return 0
    _print_shards(shards)
    return 0


def _print_shards(shards: Sequence[dict[str, Any]]) -> None:
    for shard in shards:
        seconds = "not timed" if shard["seconds"] is None else f"about {shard['seconds']:.0f} s"
        head = f"shard {shard['shard']} ({seconds}): "
        names = " ".join(shard["rows"]) or "nothing"
        print(textwrap.fill(head + names, 79, subsequent_indent="    ", break_on_hyphens=False))


def _run(options: argparse.Namespace) -> int:
    from metalassay import interrupts

    began = time.time()
    try:
        # SIGTERM as well, as in the run itself; the imports take longest.
        with interrupts.Interrupts() as caught, caught.at_once():
            from metalassay.errors import UserError
            from metalassay.matrix import run_rows

            where = matrix_fleet.named(options) if matrix_fleet.is_wanted(options) else None
            if not options.rows and not options.tag and not options.bench:
                raise UserError("no row is named", "metalassay matrix run ROW, or --tag quick")
            rows = chosen(options) if options.rows or options.tag else []
            known, run_options = _known(rows, options.output), _run_options(options)
    except KeyboardInterrupt:
        interrupts.ignore()
        raise
    if where is not None:
        outcomes = matrix_fleet.run(rows, run_options, known, where, benchmarks=options.bench)
    else:
        outcomes = run_rows.run(rows, run_options, options.jobs, known)
    return finish(outcomes, options, began)


def _run_options(options: argparse.Namespace) -> Options:
    from metalassay.matrix import run_row

    return run_row.Options(
        root=Path(),
        output=options.output,
        environments=options.environments,
        fresh=options.fresh,
        strict=options.strict,
        quiet=True,
    )


def finish(outcomes: Sequence[Outcome], options: argparse.Namespace, began: float) -> int:
    """Print how the rows ended, and return the exit code.

    ``began`` is the time, in seconds since 1970: a log from before tells of another run.
    """
    from metalassay.matrix import run_row

    if options.json:
        print(json.dumps([_outcome_record(outcome) for outcome in outcomes], indent=1))
    bad = [outcome for outcome in outcomes if outcome.bad]
    for outcome in bad:
        log = options.output / f"{outcome.row}.log"
        new = log.exists() and log.stat().st_mtime >= began - 1
        said = "; ".join(filter(None, (outcome.why, f"see {log}" if new else "")))
        print(f"{outcome.state}: {outcome.row}: {said}", file=sys.stderr)
    absent = sum(outcome.state == run_row.NOT_INSTALLABLE for outcome in outcomes)
    skipped = sum(outcome.state == run_row.SKIPPED for outcome in outcomes)
    print(
        f"{len(outcomes)} row{'' if len(outcomes) == 1 else 's'}, {len(bad)} red or in error"
        + (f", {absent} not installable" if absent else "")
        + (f", {skipped} skipped" if skipped else "")
        + f"; next: metalassay report {options.output}",
        file=sys.stderr,
    )
    return 1 if bad else 0


def _outcome_record(outcome: Outcome) -> dict[str, Any]:
    return {
        "row": outcome.row,
        "state": outcome.state,
        "why": outcome.why,
        "seconds": round(outcome.seconds, 3),
        "unchanged_since": outcome.unchanged.isoformat() if outcome.unchanged else None,
    }
