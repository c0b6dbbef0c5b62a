"""Error rates and power of decision rules on recorded noise: ours beside those in common use.

    python tools/simulate_rules.py tests/data/noise/*.json --comparisons 2000 --plot docs/compare

Ours replays whole comparisons: replicates drawn with replacement, with the interim analyses of a live
run. The others get what they get in practice: two consecutive runs in separate processes, with 30
timings each. Prints a table; with --plot also writes it, and a plot.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import compare_replay

from metalassay.files import write_atomically
from metalassay.statistics import decision as rule
from metalassay.statistics import student_t

N = 30
Times = Sequence[float]
Rival = Callable[[Times, Times, random.Random], bool]


def mean_over(limit: float) -> Rival:
    """The rule of `pytest-benchmark compare --benchmark-compare-fail=mean:5%`."""
    return lambda a, b, _: statistics.fmean(b) > (1 + limit) * statistics.fmean(a)


def least_over(limit: float) -> Rival:
    """The same with min, which is often considered robust."""
    return lambda a, b, _: min(b) > (1 + limit) * min(a)


def median_off(limit: float) -> Rival:
    """TorchBench's rule: the median has changed by more than 7 % in either direction."""
    return lambda a, b, _: abs(statistics.median(b) / statistics.median(a) - 1) > limit


def t_test(a: Times, b: Times, _: random.Random) -> bool:
    """pyperf's rule: Welch's t-test at 5 %."""
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    t = (statistics.fmean(b) - statistics.fmean(a)) / math.sqrt(va + vb)
    return student_t.t_two_sided(t, df) < 0.05


def mann_whitney(level: float) -> Rival:
    """The rule of google/benchmark (5 %) and asv (0.2 %), by the normal approximation."""

    def rival(a: Times, b: Times, _: random.Random) -> bool:
        u = sum((y > x) + 0.5 * (y == x) for x in a for y in b)
        sd = math.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
        return abs(u - len(a) * len(b) / 2) / sd > student_t.normal_quantile(1 - level / 2)

    return rival


def criterion(a: Times, b: Times, chance: random.Random) -> bool:
    """criterion.rs' rule: t-test at 5 %, and the bootstrapped 95 % interval beyond 1 % of noise."""
    if not t_test(a, b, chance):
        return False
    ratios = sorted(
        statistics.fmean(chance.choices(b, k=len(b)))
        / statistics.fmean(chance.choices(a, k=len(a)))
        - 1
        for _ in range(200)
    )
    return ratios[5] > 0.01 or ratios[-6] < -0.01


RIVALS: dict[str, Rival] = {
    "mean > 5 %": mean_over(0.05),
    "min > 5 %": least_over(0.05),
    "|median| > 7 %": median_off(0.07),
    "t-test, p < 0.05": t_test,
    "Mann-Whitney, p < 0.05": mann_whitney(0.05),
    "Mann-Whitney, p < 0.002": mann_whitney(0.002),
    "criterion-like": criterion,
}


@dataclass(frozen=True)
class Row:
    """One rule on one recording: how many of ``trials`` it called different, for A/A and for 3 % more."""

    rule: str
    clock: str
    trials: int
    false: int
    seen: int
    note: str = ""


def ours(
    recording: compare_replay.Recording,
    clock: str,
    trials: int,
    seed: int,
    most: int | None,
    name: str,
) -> Row:
    """Run our rule on the recording; a run with a failed control calls nothing different."""
    tallies: dict[str, compare_replay.Tally] = {}
    memo: dict[object, tuple[float, float]] = {}
    for second in (compare_replay.SAME_CODE, compare_replay.MORE_WORK):
        chance = random.Random(seed)  # noqa: S311
        tallies[second] = compare_replay.tally(
            [
                compare_replay.compare(recording, second, clock, chance, most=most, memo=memo)
                for _ in range(trials)
            ]
        )
    same, more = tallies[compare_replay.SAME_CODE], tallies[compare_replay.MORE_WORK]
    return Row(
        name,
        clock,
        trials,
        same.words[rule.SLOWER] + same.words[rule.FASTER],
        more.words[rule.SLOWER],
        f"A/A: same {same.words[rule.SAME] / trials:.0%}, distrusted {same.distrusted / trials:.1%},"
        f" {same.replicates:.0f} replicates; +3 %: faster {more.words[rule.FASTER]},"
        f" {more.replicates:.0f} replicates",
    )


def rivals(recording: compare_replay.Recording, clock: str, trials: int, seed: int) -> list[Row]:
    """Run the other rules on the same recording: each comparison is of two consecutive groups."""
    chance = random.Random(seed)  # noqa: S311
    counts = {name: [0, 0] for name in RIVALS}

    def times(group: int, arm: str) -> Times:
        of_arm = [
            getattr(sample, clock)
            for timings in recording.replicates[group]
            for sample in timings
            if sample.arm == arm
        ]
        start = chance.randrange(len(of_arm) - N + 1)
        return of_arm[start : start + N]

    for _ in range(trials):
        group = chance.randrange(len(recording.replicates) - 1)
        same = "Aab" if recording.third else "Aa"
        before = times(group, chance.choice(same))
        afters = times(group + 1, chance.choice(same)), times(group + 1, "B")
        for column, after in enumerate(afters):
            for name, rival in RIVALS.items():
                counts[name][column] += rival(before, after, chance)
    return [Row(name, clock, trials, false, seen) for name, (false, seen) in counts.items()]


def truth(recording: compare_replay.Recording, clock: str) -> str:
    """Return how much more time B took in the whole recording, with its standard error."""
    roles = {"A": rule.FIRST, "a": rule.CONTROL, "B": rule.SECOND}
    effects = [
        rule.replicate_effects(compare_replay.of_arms(replicate, roles), clock)[0]
        for replicate in recording.replicates
    ]
    error = statistics.stdev(effects) / math.sqrt(len(effects))
    return (
        f"{clock}: B took {rule.percent(statistics.fmean(effects))} more time, standard error {error:.1%};"
        f" standard deviation between replicates {statistics.stdev(effects):.1%}"
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown; rates have their 95 % Clopper-Pearson interval."""
    lines = [
        "| rule | clock | false positives, A/A | detects +3 % | |",
        "|:--|:--|--:|--:|:--|",
    ]
    for row in rows:
        rates = []
        for hits in (row.false, row.seen):
            low, high = student_t.clopper_pearson(hits, row.trials)
            rates.append(f"{hits / row.trials:.1%} [{low:.1%}, {high:.1%}]")
        name = row.rule.replace("|", r"\|")
        lines.append(f"| {name} | {row.clock} | {rates[0]} | {rates[1]} | {row.note} |")
    return "\n".join(lines)


def plot(title: str, rows: Sequence[Row]) -> str:
    """Return an SVG of the rate of false positives and the rate of detecting +3 %, rule by rule."""
    left, width, step = 250, 420, 34
    height = 70 + step * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 60} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="20">{escape(title)}</text>',
        f'<text x="{left}" y="40" fill="#b2182b">false positives, A/A</text>',
        f'<text x="{left + 200}" y="40" fill="#2166ac">detects a real +3 %</text>',
    ]
    for number, row in enumerate(rows):
        y = 54 + step * number
        parts.append(
            f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(row.rule)}, {row.clock}</text>'
        )
        for offset, hits, colour in ((0, row.false, "#b2182b"), (12, row.seen, "#2166ac")):
            share = hits / row.trials
            parts.append(
                f'<rect x="{left}" y="{y + offset}" width="{max(share * width, 0.5):.1f}" height="10" fill="{colour}"/>'
                f'<text x="{left + share * width + 4:.1f}" y="{y + offset + 9}" font-size="10">{share:.1%}</text>'
            )
    parts.append(f'<line x1="{left}" x2="{left}" y1="48" y2="{height - 10}" stroke="black"/></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    """Simulate and print; write the tables and plots with --plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--comparisons", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="write tables and plots to this folder"
    )
    options = parser.parse_args()
    for file in options.files:
        recording = compare_replay.load(file)
        rows = []
        for clock in ("cpu", "wall"):
            many, few = rule.ANALYSES[-1][0], -(-40 // rule.ROUNDS)
            for most, name in (
                (few, f"ours, {few * rule.ROUNDS} rounds"),
                (many, "ours, no budget"),
            ):
                rows.append(ours(recording, clock, options.comparisons, options.seed, most, name))
            rows += rivals(recording, clock, options.comparisons, options.seed)
        title = f"{file.stem}: {options.comparisons} comparisons each, {len(recording.replicates)} groups"
        facts = "\n".join(truth(recording, clock) for clock in ("cpu", "wall"))
        page = f"{title}\n\n{recording.what}\n\n{facts}\n\n{table(rows)}\n"
        print(f"\n{page}", flush=True)
        if options.plot:
            write_atomically(options.plot / f"{file.stem}.svg", plot(title, rows))
            write_atomically(options.plot / f"{file.stem}.md", page)


if __name__ == "__main__":
    main()
