"""Measure what each option of a training's recipe does on the transit task, and write docs/recipe.md.

    nice python tools/recipe_ab.py --seeds 7 --save docs/recipe/options.json
    nice python tools/recipe_ab.py --long --seeds 5 --save docs/recipe/recipes.json
    python tools/recipe_ab.py --page [--check]      the page from both files

A seed has its own light curves, weights and order; every arm trains on it, so that arms are compared in pairs. The arms
of a seed run one after the other in an order of their own, on one thread. What is compared is measured on light curves
of another seed, the same for all: the area under the ROC curve (AUC), the expected calibration error over 15 bins
of equal width (ECE), the Brier score, and the CPU time of the steps. The interval is Student's for paired
differences, at 99 %: there are ten options and four figures, so that at 95 % two would differ by chance.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metalassay.files import write_atomically
from metalassay.machine.malloc import keep_freed_memory
from metalassay.training import recipe_options, schedules
from metalassay.training.loop import Recipe, train
from metalassay.training.transit import calibration
from metalassay.training.transit import task as transit

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/recipe.md"
FILES = {"options": ROOT / "docs/recipe/options.json", "recipes": ROOT / "docs/recipe/recipes.json"}
BATCH, CURVES, HELD_OUT, HELD_OUT_SEED = 64, 2048, 4096, 1_000_003
STEPS, LONG_STEPS = 120, 1000
BASE = "default"
ARMS: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    "--schedule cosine": {"schedule": "cosine"},
    "--schedule constant": {"schedule": "constant"},
    "--label-smoothing 0.1": {"label_smoothing": 0.1},
    "--mixup 0.2": {"mixup": 0.2},
    "--weight-decay 0.01": {"weight_decay": 0.01},
    "--decay-groups matrices": {"weight_decay": 0.01, "decay_groups": "matrices"},
    "--clip 0": {"clip": 0.0},
    "--accumulate 4": {"accumulate": 4},
    "--ema 0.99": {"ema": 0.99},
    "guide, warm-up of a tenth": {"recipe": "guide", "warm_up": 0.1},
}
LONG: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    "--schedule cosine": {"schedule": "cosine"},
    "--recipe guide": {"recipe": "guide"},
}
FIGURES = {"auc": "AUC", "ece": "ECE", "brier": "Brier score", "seconds": "CPU time of a step"}
SMALLEST = {"auc": 0.005, "ece": 0.01, "brier": 0.005}
"""Differences below these are called none, where the interval excludes larger ones."""
# Student's t at 99 %, two-sided, by degrees of freedom.
T = {2: 9.925, 3: 5.841, 4: 4.604, 5: 4.032, 6: 3.707, 7: 3.499, 8: 3.355, 9: 3.250, 10: 3.169, 11: 3.106,
     12: 3.055, 13: 3.012, 14: 2.977, 15: 2.947, 17: 2.898, 19: 2.861}  # fmt: skip


def run(
    arm: Mapping[str, Any], seed: int, steps: int, sets: Any, held_out: transit.Curves
) -> dict[str, float]:
    """Train one arm on one seed; return its figures."""
    chosen = recipe_options.resolve(arm, transit.WEIGHT_DECAY)
    accumulate = int(arm.get("accumulate", 1))
    task = transit.task(
        "guide", sets, CURVES, BATCH // accumulate, seed, accumulate, None,
        chosen["label_smoothing"], chosen["mixup"],
    )  # fmt: skip
    names = ("schedule", "warm_up", "weight_decay", "decay_groups", "clip", "ema")
    recipe = Recipe(
        steps=steps,
        peak_rate=transit.PEAK_RATES["guide"],
        momenta=transit.MOMENTA if chosen["schedule"] == schedules.ONE_CYCLE else None,
        accumulate=accumulate,
        seed=seed,
        **{name: chosen[name] for name in names},
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="metalassay-recipe-") as folder:
        train(task, recipe, Path(folder), torch.device("cpu"), report_every=steps)
    seconds = (time.process_time() - began) / steps
    task.model.eval()
    with torch.inference_mode():
        logits = transit.scores(task.model, held_out)
    label = held_out.planet.numpy()
    found = calibration.measure(logits, label)
    return {
        "auc": float(transit.auc(logits, label)),
        "ece": found.error,
        "brier": found.brier,
        "seconds": seconds,
    }


def all_of(sets: Mapping[str, transit.Curves]) -> transit.Curves:
    """Return the curves of all parts."""
    parts = sets.values()
    return transit.Curves(
        *(
            torch.cat([getattr(each, name) for each in parts])
            for name in ("whole", "near", "planet")
        )
    )


def measure(arms: Mapping[str, Mapping[str, Any]], seeds: int, steps: int, path: Path) -> None:
    """Run every arm on every seed and write the figures; seeds that the file has are not run again."""
    torch.set_num_threads(1)
    keep_freed_memory()
    held_out = all_of(transit.make(HELD_OUT_SEED, HELD_OUT))
    document: dict[str, Any] = {
        "steps": steps, "batch": BATCH, "curves": CURVES, "held_out": len(held_out.planet),
        "torch": torch.__version__, "machine": platform.machine(), "seeds": {},
    }  # fmt: skip
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        document["seeds"] = kept["seeds"] if kept["steps"] == steps else {}
    for seed in range(seeds):
        results = document["seeds"].setdefault(str(seed), {})
        order = [name for name in arms if name not in results]
        random.Random(seed).shuffle(order)  # noqa: S311  (the order of measurements)
        sets = transit.make(seed, CURVES) if order else {}
        for name in order:
            results[name] = run(arms[name], seed, steps, sets, held_out)
            print(f"seed {seed}: {name}: {results[name]}", flush=True)
            write_atomically(path, json.dumps(document, indent=1) + "\n")


@dataclass(frozen=True)
class Difference:
    """The mean over seeds of an arm's figure less the default's, and the half width of its interval."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + self.half


def difference(arm: Sequence[float], base: Sequence[float]) -> Difference:
    """Return the paired difference with Student's 99 % interval."""
    apart = [one - other for one, other in zip(arm, base, strict=True)]
    width = T[len(apart) - 1] * statistics.stdev(apart) / math.sqrt(len(apart))
    return Difference(statistics.mean(apart), width)


def verdict(found: Difference, name: str) -> str:
    """Say in a word or two what an interval says; more AUC is better, less of the others is."""
    better = (found.low > 0) if name == "auc" else (found.high < 0)
    worse = (found.high < 0) if name == "auc" else (found.low > 0)
    if better or worse:
        return "better" if better else "worse"
    if max(-found.low, found.high) < SMALLEST[name]:
        return f"no difference of {SMALLEST[name]:g}"
    return "inconclusive"


def table(document: Mapping[str, Any]) -> str:
    """Return the Markdown table of a file."""
    seeds = list(document["seeds"].values())
    arms = [name for name in {**ARMS, **LONG} if all(name in each for each in seeds)]

    def values(arm: str, name: str) -> list[float]:
        return [each[arm][name] for each in seeds]

    lines = [
        "| option | AUC | | ECE | | Brier score | | CPU time |",
        "|:--|--:|:--|--:|:--|--:|:--|--:|",
    ]
    base = " | ".join(f"{statistics.mean(values(BASE, name)):.4f} |" for name in SMALLEST)
    lines.append(f"| default | {base} | 1 |")
    for arm in arms:
        if arm == BASE:
            continue
        cells = []
        for name in SMALLEST:
            found = difference(values(arm, name), values(BASE, name))
            cells += [
                f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]",
                verdict(found, name),
            ]
        ratios = [
            math.log(one / other)
            for one, other in zip(values(arm, "seconds"), values(BASE, "seconds"), strict=True)
        ]
        ratio = difference(ratios, [0.0] * len(ratios))
        low, high = math.exp(ratio.low), math.exp(ratio.high)
        cells.append(f"{math.exp(ratio.mean):.2f} [{low:.2f}, {high:.2f}]")
        lines.append(
            f"| {arm.replace('--', '`--', 1) + '`' if arm.startswith('--') else arm} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def page() -> str:
    """Return docs/recipe.md with its tables made from the files."""
    text = PAGE.read_text("utf-8")
    for name, path in FILES.items():
        document = json.loads(path.read_text("utf-8"))
        begin, end = f"<!-- {name}: tools/recipe_ab.py -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        count = len(document["seeds"])
        says = (
            f"{count} seeds, {document['steps']} steps of {document['batch']} curves each, {document['held_out']:,} light"
            f" curves to judge by, torch {document['torch']}, one thread."
        )
        text = f"{before}{begin}\n{says}\n\n{table(document)}\n\n{end}{after}"
    return text


def main() -> int:
    """Measure, or write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--long", action="store_true", help="recipes, in runs of 1,000 steps")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.page:
        text = page()
        if options.check:
            return int(text != PAGE.read_text("utf-8"))
        PAGE.write_text(text, "utf-8")
        return 0
    arms, steps = (LONG, LONG_STEPS) if options.long else (ARMS, STEPS)
    measure(arms, options.seeds, steps, options.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
