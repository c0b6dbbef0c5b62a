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
from collections import Counter
from pathlib import Path
from typing import Any

from packaging.version import Version

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
    print("\n".join(score(rows, now=options.now)))
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


def score(rows: list[dict[str, Any]], *, now: bool) -> list[str]:
    """Return precision and recall by kind of break, and every pair on which they disagree."""
    tried = [row for row in rows if "stages" in row]
    lines: list[str] = []
    counts, kinds = Counter[str](), Counter[tuple[str, str]]()
    for row in tried:
        if now:
            row["predicted"] = [each.as_json() for each in stopping(row["versions"])]
        broken = {
            name: each
            for name, each in row["stages"].items()
            if each["status"] in ("failed", "crashed")
        }
        known = [
            bug.id
            for bug in bugs.load()
            if bug.stops and bug.hits({**row["versions"], "python": "3.11"})
        ]
        named = [
            each
            for each in row["predicted"]
            if any(names(each, stage) for stage in broken.values())
        ]
        outcome = ("found" if named else "found, another cause") if broken else "false alarm"
        if not row["predicted"]:
            outcome = "missed" if broken else "rightly silent"
        counts[outcome] += 1
        for each in row["predicted"]:
            kinds[each["kind"], "right" if each in named else "wrong"] += 1
        if outcome not in ("found", "rightly silent"):
            lines.append(f"{outcome}: {' '.join(row['requires'])}")
            lines += [
                f"    predicted {each['kind']}: {each['what']} ({each['entry']})"
                for each in row["predicted"]
            ]
            lines += [f"    {name}: {each['error'][:150]}" for name, each in broken.items()]
            lines += [f"    known bug: {each}" for each in known]
    lines.append(
        f"{len(tried)} of {len(rows)} executed: "
        + ", ".join(f"{n} {word}" for word, n in counts.items())
    )
    right = counts["found"] + counts["found, another cause"]
    lines.append(
        f"precision {right}/{right + counts['false alarm']}, recall {right}/{right + counts['missed']}"
    )
    lines += [f"  {kind}: {n} {word}" for (kind, word), n in sorted(kinds.items())]
    return lines


def names(predicted: dict[str, Any], stage: dict[str, Any]) -> bool:
    """Return whether a stage failed for the predicted reason: its error names what is missing."""
    words = re.findall(r"\w+", predicted["what"])
    return bool(words) and any(word in stage["error"] for word in words[-2:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, subprocess.SubprocessError) as stopped:
        sys.exit(f"stopped: {stopped!r}; run it again to go on")
