"""Execute a sample of version pairs, and count how often the atlas of breaks was right.

`sample` draws pairs of releases, as many with a predicted break as without, over the kinds of pairs; what
it needs besides is chosen by the resolver, so that every set is one that people can have. `run` installs
each into an environment of its own and runs the smoke test there; it does not look at the predictions, and
goes on where it was after an interruption. `score` compares both.

    python tools/link_pairs.py sample --output docs/linkcheck/pairs.json
    python tools/link_pairs.py run --work DIR docs/linkcheck/pairs.json
    python tools/link_pairs.py score docs/linkcheck/pairs.json
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version
from tabulate import tabulate

from metalassay import bugs, linkcheck
from metalassay.bugs import api_history
from metalassay.files import write_atomically
from metalassay.fix import distributions
from metalassay.linkcheck.breaks import Break
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure
from metalassay.smoke import parent as smoke

TORCH = "torch==2.13.0"
PAIRS = (
    ("transformers", "accelerate"),
    ("trl", "transformers"),
    ("trl", "accelerate"),
    ("peft", "transformers"),
    ("peft", "accelerate"),
    ("trl", "peft"),
    ("transformers", "peft"),
)
BAD = (smoke.FAILED, smoke.CRASHED)
UNTRIED = {"GradScaler", "KTOTrainer", "a streamed dataset", "init_empty_weights"}
"""The entries of known bugs that the smoke test does not reach."""
OLDEST = {"accelerate": "0.30", "transformers": "4.40", "trl": "0.8", "peft": "0.10"}
STACK = (
    "accelerate", "transformers", "trl", "peft", "datasets", "tokenizers", "huggingface-hub", "safetensors",
    "torch", "numpy",
)  # fmt: skip


def main() -> int:
    """Run one of the three steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    sampling = steps.add_parser("sample", help="draw the pairs")
    sampling.add_argument("--output", type=Path, required=True)
    sampling.add_argument("--count", type=int, default=64)
    sampling.add_argument("--seed", type=int, default=19)
    running = steps.add_parser("run", help="execute those that were not executed yet")
    running.add_argument("file", type=Path)
    running.add_argument("--work", type=Path, required=True)
    scoring = steps.add_parser("score", help="compare predictions and results")
    scoring.add_argument("file", type=Path)
    scoring.add_argument("--now", action="store_true", help="with the predictions of today's atlas")
    options = parser.parse_args()
    if options.step == "sample":
        write(options.output, sample(options.count, options.seed))
        return 0
    rows = json.loads(options.file.read_text("utf-8"))["pairs"]
    if options.step == "run":
        execute(rows, options.file, options.work)
        return 0
    print(score(rows, now=options.now))
    return 0


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the pairs, one on each line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    write_atomically(path, '{"pairs": [\n' + lines + "\n]}\n")


def sample(count: int, seed: int) -> list[dict[str, Any]]:
    """Draw pairs, half of them with a predicted break, in turn from each kind that has any left."""
    dice = random.Random(seed)  # noqa: S311  (a sample, no secret)
    rows: list[dict[str, Any]] = []
    for side in (True, False):
        kinds = list(PAIRS)
        while kinds and sum(bool(row["predicted"]) is side for row in rows) < count // 2:
            for kind in list(kinds):
                row = draw(dice, kind, side, [each["requires"] for each in rows])
                if row is None:
                    kinds.remove(kind)
                    continue
                rows.append(row)
                print(len(rows), row["requires"], "break" if side else "none", flush=True)
    return rows[:count]


def draw(
    dice: random.Random, kind: tuple[str, str], side: bool, taken: list[list[str]]
) -> dict[str, Any] | None:
    """Return a pair of a kind with or without a predicted break; None if a hundred draws find none."""
    for _ in range(100):
        pair = {name: release(dice, name) for name in kind}
        requires = [f"{name}=={version}" for name, version in pair.items()]
        if requires in taken or bool(stopping(pair)) is not side:
            continue
        extra = ["datasets"] if "trl" in kind else []
        lock = resolver.lock([*requires, TORCH, *extra], Path(sys.executable))
        if isinstance(lock, Failure):
            continue
        versions = dict(line.split("==") for line in lock if "==" in line)
        versions = {name: versions[name] for name in STACK if name in versions}
        found = [each.as_json() for each in stopping(versions)]
        if bool(found) is side:
            return {"requires": requires, "versions": versions, "predicted": found}
    return None


def release(dice: random.Random, package: str) -> str:
    """Return the newest patch of a random minor version."""
    newest: dict[tuple[int, int], Version] = {}
    for text in api_history.history(package).releases:
        version = Version(text)
        if version >= Version(OLDEST[package]) and not version.is_prerelease:
            series = (version.major, version.minor)
            newest[series] = max(newest.get(series, version), version)
    return str(newest[dice.choice(sorted(newest))])


def stopping(versions: dict[str, str]) -> list[Break]:
    """Return the breaks that the atlas predicts to stop an import or a training."""
    return [each for each in linkcheck.known_breaks(versions) if each.stops and not each.guarded]


def execute(rows: list[dict[str, Any]], file: Path, work: Path) -> None:
    """Install and try what was not tried yet."""
    work.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        if "stages" in row:
            continue
        folder = work / "environment"
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python")
        pins = [f"{name}=={version}" for name, version in row["versions"].items()]
        made = resolver.run_uv(["venv", "--quiet", "--python", sys.executable, str(folder)])
        if not isinstance(made, Failure):
            made = resolver.run_uv(["pip", "install", "--quiet", "--python", python, *pins])
        if isinstance(made, Failure):
            print(
                f"{number + 1}/{len(rows)} {row['requires']}: not installed: {made.why}", flush=True
            )
            continue
        installed = distributions.read(python)
        stages = smoke.run(python, smoke.stages_for(installed.versions), cpu=True)
        row["stages"] = {stage.name: smoke.as_dict(stage) for stage in stages}
        write(file, rows)
        broken = [stage.name for stage in stages if stage.broken]
        print(
            f"{number + 1}/{len(rows)} {' '.join(row['requires'])}: {broken or 'works'}", flush=True
        )


@dataclass(frozen=True)
class Case:
    """One executed pair: what was predicted, which known bugs stop it, and what failed."""

    requires: tuple[str, ...]
    predicted: tuple[dict[str, Any], ...]
    known: tuple[str, ...]
    broken: dict[str, str]

    def named(self, kind: str) -> bool:
        """Return whether an error names what a prediction of this kind says is missing."""
        return any(
            names(each, error)
            for each in self.predicted
            if each["kind"] == kind
            for error in self.broken.values()
        )


def cases(rows: list[dict[str, Any]], *, now: bool) -> list[Case]:
    """Return the executed pairs, with the predictions of the sample or of today's atlas."""
    found = []
    for row in rows:
        if "stages" not in row:
            continue
        failed = {
            name: each["error"] for name, each in row["stages"].items() if each["status"] in BAD
        }
        versions = {**row["versions"], "python": "3.11"}
        stop = tuple(
            bug.id
            for bug in bugs.load()
            if bug.stops and bug.entry not in UNTRIED and bug.hits(versions)
        )
        predicted = (
            [each.as_json() for each in stopping(row["versions"])] if now else row["predicted"]
        )
        found.append(Case(tuple(row["requires"]), tuple(predicted), stop, failed))
    return found


def score(rows: list[dict[str, Any]], *, now: bool = False) -> str:
    """Return precision and recall as tables in Markdown, and every pair on which they disagree."""
    executed = cases(rows, now=now)
    heads = [
        "says that it breaks",
        "breaks",
        "false alarm",
        "missed",
        "rightly silent",
        "precision",
        "recall",
    ]
    table = [
        counted("atlas", executed, lambda case: bool(case.predicted)),
        counted("known bugs that stop", executed, lambda case: bool(case.known)),
        counted("either", executed, lambda case: bool(case.predicted or case.known)),
    ]
    kinds = sorted({each["kind"] for case in executed for each in case.predicted})
    by_kind = []
    for kind in kinds:
        having = [case for case in executed if any(each["kind"] == kind for each in case.predicted)]
        broke = [case for case in having if case.broken]
        by_kind.append([kind, len(having), len(broke), sum(case.named(kind) for case in broke)])
    lines = [
        tabulate(table, headers=heads, tablefmt="pipe", disable_numparse=True),
        "",
        tabulate(
            by_kind, headers=["kind of break", "pairs with it", "that break", "with an error that names it"],
            tablefmt="pipe",
        ),
        "",
    ]  # fmt: skip
    for case in executed:
        if bool(case.predicted) is bool(case.broken):
            continue
        lines.append(
            f"- {'missed' if case.broken else 'false alarm'}: {' with '.join(case.requires)}."
        )
        if case.broken:
            stage, error = next(iter(case.broken.items()))
            error = error.rpartition("see its traceback): ")[2]
            known = f" Known bug: {', '.join(case.known)}." if case.known else " No known bug."
            lines[-1] += f" {stage}: `{textwrap.shorten(error, 90, placeholder=' …')}`.{known}"
        else:
            what = ", ".join(dict.fromkeys(f"`{each['what']}`" for each in case.predicted))
            lines[-1] += f" Predicted: {what}."
    return "\n".join(lines)


def counted(name: str, executed: list[Case], says: Callable[[Case], bool]) -> list[Any]:
    """Return a row of the first table."""
    right = sum(says(case) and bool(case.broken) for case in executed)
    alarm = sum(says(case) and not case.broken for case in executed)
    missed = sum(not says(case) and bool(case.broken) for case in executed)
    silent = len(executed) - right - alarm - missed
    return [
        name,
        right,
        alarm,
        missed,
        silent,
        f"{right}/{right + alarm}",
        f"{right}/{right + missed}",
    ]


def names(predicted: dict[str, Any], error: str) -> bool:
    """Return whether an error names what a prediction says is missing."""
    words = re.findall(r"\w+", predicted["what"])
    return bool(words) and any(word in error for word in words[-2:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, subprocess.SubprocessError) as stopped:
        sys.exit(f"stopped: {stopped!r}; run it again to go on")
