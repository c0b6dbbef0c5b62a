"""How many comparisons have ended with an answer after how many seconds: simulated, and live beside it.

    python tools/decision_curves.py tests/data/noise/cnn.json --plot docs/compare
    python tools/decision_curves.py tests/data/noise/cnn.json --live reports/live/curve.jsonl --plot docs/compare

The simulation makes the decisions of a live run, with its interim analyses, its schedule and its budget, on
replicates drawn from a recording, and gives them the seconds that they take: the recorded rounds, and
`--start` until processes are warm. What one fork server shifts in all its forks is not in a recording made
with one; it is drawn for each server. B is three things: the same code; code that takes as long, but that
servers shift; and more work, moved from what it took in the recording to exactly 3 %, shifted too. Live decisions are those of `tools/live_decisions.py --budget 60`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import compare_replay
from compare_replay import Recording

from metalassay.compare import sampling, schedule
from metalassay.compare.schedule import Durations
from metalassay.files import write_atomically
from metalassay.statistics import decision, student_t
from metalassay.workers.processes import SERVERS

SAME, EQUAL, MORE = "the same code", "other code, as fast", "3 % more work"
KINDS = (SAME, EQUAL, MORE)


@dataclass(frozen=True)
class Drawn:
    """A replicate of the simulation: only what is judged of it."""

    both: tuple[float, float]
    rounds: int

    def effects(self, _: str) -> tuple[float, float]:
        """Return what ``Replicate.effects`` returns."""
        return self.both


@dataclass(frozen=True)
class Ended:
    """How a comparison ended: its verdict, after how many seconds, and whether its control failed."""

    verdict: str
    seconds: float
    distrusted: bool = False

    @property
    def known(self) -> bool:
        """Whether it is an answer."""
        return self.verdict != decision.INCONCLUSIVE


class Simulation:
    """Comparisons on one recording; effects are computed once for each group, roles and rounds."""

    def __init__(self, recording: Recording, imports: float, start: float, shift: float) -> None:
        self.recording, self.imports, self.shift = recording, imports, shift
        wall = [
            sum(timing.wall for timing in timings if timing.arm in "AaB") * 1e-6
            for replicate in recording.replicates
            for timings in replicate
        ]
        self.durations = Durations(start, statistics.fmean(wall))
        self.memo: dict[object, tuple[float, float]] = {}
        roles = {"A": decision.FIRST, "a": decision.CONTROL, "B": decision.SECOND}
        recorded = statistics.fmean(
            decision.replicate_effects(compare_replay.of_arms(replicate, roles), "cpu")[0]
            for replicate in recording.replicates
        )
        self.moved = math.log1p(0.03) - recorded

    def run(self, kind: str, budget: float, chance: random.Random) -> Ended:
        """Make one comparison, as ``sampling.run`` does."""
        plan = sampling.Plan(clock="cpu", budget=budget)
        state = sampling.State(common=decision.LAYOUT / SERVERS**0.5)
        shifts = [chance.gauss(0, self.shift if kind != SAME else 0) for _ in range(SERVERS)]
        seconds = min(self.imports, budget)
        while (answer := sampling.due(state, plan)) is None:
            done = [each.rounds for each in state.replicates]
            rounds = schedule.rounds(self.durations, budget - seconds, done, plan.rounds)  # type: ignore[arg-type]
            if not rounds:
                state.over = True
                answer = sampling.analyse(state, plan)
                break
            rounds = min(rounds, plan.rounds)
            effect, null = self.draw(kind, rounds, chance)
            state.replicates.append(Drawn((effect + shifts[len(done) % SERVERS], null), rounds))  # type: ignore[arg-type]
            seconds += self.durations.replicate(rounds)
        if answer is None:
            return Ended(decision.INCONCLUSIVE, seconds)
        return Ended(answer.verdict, seconds, answer.distrusted is not None)

    def draw(self, kind: str, rounds: int, chance: random.Random) -> tuple[float, float]:
        """Return the effects of consecutive rounds of a group, with the roles of its processes drawn."""
        group = chance.randrange(len(self.recording.replicates))
        replicate = self.recording.replicates[group]
        start = chance.randrange(len(replicate) - rounds + 1)
        second = compare_replay.MORE_WORK if kind == MORE else compare_replay.SAME_CODE
        roles = compare_replay.cast(second, chance, third=self.recording.third)
        key = (group, start, rounds, tuple(roles.items()))
        if key not in self.memo:
            parts = compare_replay.of_arms(replicate[start : start + rounds], roles)
            effect, null = decision.replicate_effects(parts, "cpu")
            self.memo[key] = effect + (self.moved if kind == MORE else 0), null
        return self.memo[key]


def rate(hits: int, trials: int) -> str:
    """Return a rate with its 95 % Clopper-Pearson interval."""
    low, high = student_t.clopper_pearson(hits, trials)
    return f"{hits / trials:.1%} [{low:.1%}, {high:.1%}]"


def row(name: str, kind: str, ended: Sequence[Ended]) -> str:
    """Return a line of the table; slower is right for more work, and any difference wrong otherwise."""
    right = (decision.SLOWER,) if kind == MORE else (decision.SAME,)
    wrong = (decision.FASTER,) if kind == MORE else (decision.SLOWER, decision.FASTER)
    known = [each.seconds for each in ended if each.known]
    half = f"{statistics.median(known):.0f}" if len(known) * 2 > len(ended) else "-"
    return (
        f"| {name} | {kind} | {len(ended)} | {rate(sum(each.verdict in right for each in ended), len(ended))} |"
        f" {rate(sum(each.verdict in wrong for each in ended), len(ended))} |"
        f" {sum(each.distrusted for each in ended)} | {half} |"
    )


HEAD = (
    "| run | B | comparisons | right answer | wrong answer | control failed | seconds until an answer, median |\n"
    "|:--|:--|--:|--:|--:|--:|--:|"
)


def curve(ended: Sequence[Ended], right: str, until: float) -> list[tuple[float, float]]:
    """Return the share that has ended with this verdict after so many seconds, as steps."""
    times = sorted(each.seconds for each in ended if each.verdict == right)
    points, share = [(0.0, 0.0)], 0.0
    for number, seconds in enumerate(times, 1):
        points.append((seconds, share))
        share = number / len(ended)
        points.append((seconds, share))
    return [*points, (until, share)]


def live(path: Path) -> dict[str, list[Ended]]:
    """Read the decisions of ``tools/live_decisions.py`` by kind: B is more work if it has extra products."""
    found: dict[str, list[Ended]] = {SAME: [], MORE: []}
    for line in path.read_text("utf-8").splitlines():
        one: dict[str, Any] = json.loads(line)
        kind = MORE if "extra=" in one["b"] else SAME
        found[kind].append(Ended(one["verdict"], one["seconds"], one["distrusted"]))
    return found


COLOURS = {SAME: "#2166ac", MORE: "#b2182b"}


def plot(
    title: str, simulated: dict[str, list[Ended]], real: dict[str, list[Ended]], until: float
) -> str:
    """Return an SVG of both curves against time: simulated as a line, live as a dashed one."""
    left, top, width, height = 60, 40, 560, 260

    def path(points: Sequence[tuple[float, float]]) -> str:
        return " ".join(
            f"{left + seconds / until * width:.1f},{top + (1 - share) * height:.1f}"
            for seconds, share in points
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 40} {top + height + 90}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="20">{escape(title)}</text>',
    ]
    for share in (0, 0.2, 0.4, 0.6, 0.8, 1.0):
        y = top + (1 - share) * height
        parts.append(
            f'<line x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    for seconds in range(0, int(until) + 1, 10):
        x = left + seconds / until * width
        parts.append(
            f'<text x="{x:.1f}" y="{top + height + 18}" text-anchor="middle">{seconds} s</text>'
        )
    for kind, right in ((SAME, decision.SAME), (MORE, decision.SLOWER)):
        for ended, dash in ((simulated.get(kind), ""), (real.get(kind), ' stroke-dasharray="6 4"')):
            if ended:
                parts.append(
                    f'<polyline fill="none" stroke="{COLOURS[kind]}" stroke-width="2"{dash}'
                    f' points="{path(curve(ended, right, until))}"/>'
                )
    legend = (
        (SAME, "the same code: no difference of 3 % or more"),
        (MORE, "more work: slower"),
    )
    for number, (kind, text) in enumerate(legend):
        y = top + height + 40 + 18 * number
        parts.append(
            f'<text x="{left}" y="{y}" fill="{COLOURS[kind]}">{text}; simulated (line)'
            f"{' and live (dashed)' if real.get(kind) else ''}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Simulate, read, print, and write with --plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="a recording of tools/record_noise.py")
    parser.add_argument("--comparisons", type=int, default=10_000, help="of each kind")
    parser.add_argument("--imports", type=float, default=6, help="seconds until servers are ready")
    parser.add_argument("--start", type=float, default=1.6, help="seconds until processes are warm")
    parser.add_argument("--budgets", type=float, nargs="+", default=[30, 60, 100_000])
    parser.add_argument(
        "--shift",
        type=float,
        default=100 * decision.LAYOUT,
        metavar="PERCENT",
        help="standard deviation of what a server shifts in all its forks",
    )
    parser.add_argument("--live", type=Path, metavar="FILE", help="decisions of live_decisions.py")
    parser.add_argument(
        "--conditions", default="", help="under which those were made, for the page"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--plot", type=Path, metavar="DIR", help="write the page and the plot there"
    )
    options = parser.parse_args()
    recording = compare_replay.load(options.file)
    simulation = Simulation(recording, options.imports, options.start, options.shift / 100)
    lines, curves = [HEAD], {}
    for budget in options.budgets:
        for kind in KINDS:
            chance = random.Random(f"{options.seed}/{budget}/{kind}")  # noqa: S311
            ended = [simulation.run(kind, budget, chance) for _ in range(options.comparisons)]
            name = f"budget {budget:g} s" if budget < 10_000 else "no budget"
            lines.append(row(f"simulated, {name}", kind, ended))
            if budget == 60:
                curves[kind] = ended
    real = live(options.live) if options.live else {}
    lines += [row("live", kind, ended) for kind, ended in real.items() if ended]
    durations = simulation.durations
    page = (
        f"{options.file.stem}: answers against time\n\n{recording.what}\n\n"
        f"Simulated: {options.imports:g} s for imports, then replicates of {durations.start:g} s until the processes"
        f" are warm and {durations.round:.2f} s a round, {decision.ROUNDS} rounds or what there is time for;"
        f" servers shift by {options.shift:g} %.\n"
        + (f"\nLive: {options.conditions}\n" if options.conditions else "")
        + "\n"
        + "\n".join(lines)
        + "\n"
    )
    print(page)
    if options.plot:
        name = f"{options.file.stem}-curves"
        write_atomically(options.plot / f"{name}.md", page)
        title = f"{options.file.stem}: share of comparisons that have ended with the right answer, budget 60 s"
        write_atomically(options.plot / f"{name}.svg", plot(title, curves, real, 65))


if __name__ == "__main__":
    main()
