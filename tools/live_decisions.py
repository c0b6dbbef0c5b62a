"""Count live decisions: the same code against itself, and against itself with more work.

    python tools/live_decisions.py transit-cnn:train --extra 44 --decisions 60 --budget 30
    python tools/live_decisions.py gpt-tiny:train --extra 12 --decisions 20 --budget 120

Every decision is a whole `metalassay compare` with its own seed. A/A and more work take turns. Each
is written as a line of the file at once, so that a run can be stopped and continued; at the end the
rates are printed with their 95 % Clopper-Pearson interval. `--extra` is the number of products of two
64 x 64 matrices per step; `tools/record_noise.py` measures how many take 3 %.
"""

from __future__ import annotations

import argparse
import collections
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from metalassay.compare import compare
from metalassay.statistics import decision, student_t
from metalassay.workers import specs


def main() -> None:
    """Make the decisions, save them and print the rates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("spec")
    parser.add_argument("--extra", type=int, required=True, help="products that B does in addition")
    parser.add_argument("--decisions", type=int, default=60, help="of each kind")
    parser.add_argument("--only", choices=("same", "more"), help="only one of the two kinds")
    parser.add_argument("--budget", type=float, default=30, help="seconds for each")
    parser.add_argument(
        "--unsaved",
        action="store_true",
        help="without --save, which keeps a part of the error rate for a run that continues",
    )
    parser.add_argument("--file", type=Path, help="default: reports/live/SPEC.jsonl")
    options = parser.parse_args()
    spec = specs.parse(options.spec).text()
    more = f"{spec},extra={options.extra}"
    file = options.file or Path(
        "reports", "live", spec.replace(":", "-").replace(",", "-") + ".jsonl"
    )
    runs = file.with_suffix("")  # the folder of the saved runs
    runs.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    try:
        for seed in range(options.decisions):
            for second in (spec, more):
                if options.only and (options.only == "same") != (second == spec):
                    continue
                if any((record["b"], record["seed"]) == (second, seed) for record in done):
                    continue
                began = time.monotonic()
                run = runs / f"{seed}-{'same' if second == spec else 'more'}.jsonl"
                save = None if options.unsaved else run
                found = compare(spec, second, budget=options.budget, seed=seed, save=save)
                if found.interrupted:
                    raise KeyboardInterrupt
                taken = {
                    "b": second,
                    "seed": seed,
                    "verdict": found.verdict,
                    "seconds": round(time.monotonic() - began, 1),
                    "trios": found.replicates,
                    "ratio": found.decision and found.decision.ratio,
                    "distrusted": bool(found.decision and found.decision.distrusted),
                    "notes": found.notes,
                }
                done.append(taken)
                with file.open("a") as stream:
                    stream.write(json.dumps(taken) + "\n")
                print(
                    f"{len(done)}: {second}: {found.verdict}, {taken['seconds']} s", file=sys.stderr
                )
    except KeyboardInterrupt:
        print("interrupted: the decisions so far are saved", file=sys.stderr)
    for second, wrong, name in (
        (spec, (decision.SLOWER, decision.FASTER), "called different"),
        (more, (decision.SLOWER,), "detected"),
    ):
        print(
            summary(
                [record for record in done if record["b"] == second], wrong, f"{second}: {name}"
            )
        )


def summary(done: list[dict[str, Any]], words: tuple[str, ...], name: str) -> str:
    """Return a line about the decisions of one kind."""
    if not done:
        return f"{name}: no decision"
    hits = sum(record["verdict"] in words for record in done)
    low, high = student_t.clopper_pearson(hits, len(done))
    counts = collections.Counter(record["verdict"] for record in done)
    seconds = [record["seconds"] for record in done]
    verdicts = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    return (
        f"{name} {hits} of {len(done)} = {hits / len(done):.1%} [{low:.1%}, {high:.1%}]; {verdicts};"
        f" distrusted {sum(record['distrusted'] for record in done)};"
        f" {statistics.median(seconds):.0f} s (median), {max(seconds):.0f} s at most"
    )


if __name__ == "__main__":
    main()
