"""Measure how close the CPU limiter comes to its target, and what its pauses cost.

    python tools/cpu_limiter_accuracy.py --target 70 --rounds 3
    python tools/cpu_limiter_accuracy.py --target 70 --pairs 40

The first runs a program that keeps every core busy without a limit, twice under ``metalassay run
--max-cpu``, and without a limit again, and prints its CPU time in percent of the whole machine. On a
shared machine a target above the unlimited share shows nothing: such rounds are flagged.

The second prints the work that a CPU second does with the limiter, in percent of the work without: what
a program gets of its ideal share. One set of processes works without a break, and the limiter that
``metalassay run`` uses is switched on and off every few seconds, since the speed of a shared machine
varies by half within a minute. Each limited window is compared with the unlimited ones beside it; the
error is that of the mean over the windows. ``--matrices`` measures threads of one process that wait for
each other: torch's matrix products.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metalassay.supervise import cpu_limiter
from metalassay.supervise.cpu_limiter import CpuLimiter

SETTLE = 0.5  # seconds after a pause in which a core may still be slow
BUSY = """
import multiprocessing, os, sys, time
def work(until):
    while time.time() < until:
        sum(i * i for i in range(2000))
if __name__ == "__main__":
    cores, began = int(sys.argv[2]), time.time()
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        pool.map(work, [began + float(sys.argv[1])] * cores)
        pool.close()
        pool.join()
    wall, used = time.time() - began, os.times()
    print(wall, used.children_user + used.children_system)
"""


def share(seconds: float, cores: int, target: float | None) -> float:
    """Return the CPU use of a run of this length in percent of the machine; ``target`` likewise."""
    program = [sys.executable, "-c", BUSY, str(seconds), str(cores)]
    if target is not None:
        limited = [sys.executable, "-m", "metalassay", "run", "--max-cpu", str(target), "--"]
        program = limited + program
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    wall, used = map(float, done.stdout.split())
    return 100 * used / wall / (os.cpu_count() or 1)


def shares(target: float, seconds: float, rounds: int, cores: int) -> list[float]:
    """Print a line per round, and return by how many points each limited run missed the target."""
    off = []
    for number in range(rounds):
        first, *limited, last = (
            share(seconds, cores, limit) for limit in (None, target, target, None)
        )
        scarce = (first + last) / 2 < target + 2
        note = " (less than the target is free here: not counted)" if scarce else ""
        print(
            f"round {number + 1}: unlimited {first:.1f} and {last:.1f} %, limited"
            f" {limited[0]:.2f} and {limited[1]:.2f} % of {target:g} %{note}",
            flush=True,
        )
        off += [] if scarce else [percent - target for percent in limited]
    return off


def busy(done: Any, used: Any, stop: Any) -> None:
    """Work until ``stop`` is set; count the work in ``done`` and the CPU time in ``used``."""
    while not stop.value:
        sum(i * i for i in range(2000))
        done.value += 1
        used.value = time.process_time()


def rates(target: float, window: float, pairs: int, cores: int) -> list[float]:
    """Return the work per CPU second of each limited window, relative to the two windows beside it."""
    context = multiprocessing.get_context("fork")
    stop = context.RawValue("i", 0)
    counters = [(context.RawValue("q", 0), context.RawValue("d", 0.0)) for _ in range(cores)]
    processes = [context.Process(target=busy, args=(*pair, stop)) for pair in counters]
    for process in processes:
        process.start()

    def state() -> tuple[float, int, float]:
        done, used = zip(*((done.value, used.value) for done, used in counters), strict=True)
        return time.monotonic(), sum(done), sum(used)

    def wait_until(over: Callable[[float], bool]) -> tuple[float, int, float]:
        while not over(state()[0]):
            time.sleep(0.01)  # the limiter's pauses interrupt it
        return state()

    def free() -> float:
        began = time.monotonic()
        _, done, used = wait_until(lambda now: now - began > SETTLE)  # it may just have slept
        _, more, later = wait_until(lambda now: now - began > SETTLE + window)
        return (more - done) / (later - used)

    def limited() -> float:
        """Measure from the end of one pause to the end of another: whole periods."""
        with CpuLimiter(target / 100, include_self=False) as limiter:
            began, done, used = wait_until(lambda now: limiter.state().paused > 0)
            last = limiter.state().paused

            def over(now: float) -> bool:
                nonlocal last
                before, last = last, limiter.state().paused
                return now - began > window and last > before

            _, more, later = wait_until(over)
        return (more - done) / (later - used)

    try:
        free()
        kinds = [free, *([limited, free] * pairs)]
        measured = [rate() for rate in tqdm(kinds, unit="window")]
    finally:
        stop.value = 1
        for process in processes:
            process.join()
    return _ratios(measured)


def matrices(target: float, window: float, pairs: int, cores: int) -> list[float]:
    """Return the same for torch's matrix products in this process, paused between two of them."""
    import torch

    torch.set_num_threads(cores)
    a, b = torch.randn(700, 700), torch.randn(700, 700)

    def rate(pace: Callable[[], float], over: Callable[[float, bool], bool]) -> float:
        began, used, done = time.monotonic(), time.process_time(), 0
        last = pace()
        while True:
            torch.mm(a, b)
            done += 1
            before, last = last, pace()
            if over(time.monotonic() - began, last > before):
                return done / (time.process_time() - used)

    def free() -> float:
        rate(lambda: 0, lambda seconds, paused: seconds > SETTLE)
        return rate(lambda: 0, lambda seconds, paused: seconds > window)

    def limited() -> float:
        with CpuLimiter(target / 100, signals=False) as limiter:
            rate(limiter.pace, lambda seconds, paused: paused)
            return rate(limiter.pace, lambda seconds, paused: paused and seconds > window)

    free()
    return _ratios([rate() for rate in tqdm([free, *([limited, free] * pairs)], unit="window")])


def _ratios(measured: Sequence[float]) -> list[float]:
    """Return every second figure divided by the mean of the two beside it."""
    return [
        measured[number] / ((measured[number - 1] + measured[number + 1]) / 2)
        for number in range(1, len(measured), 2)
    ]


def main() -> None:
    """Print a line per round, the share, and the work."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", type=float, default=70, help="percent (default: 70)")
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of four runs that measure the share"
    )
    parser.add_argument("--seconds", type=float, default=30, help="of each such run (default: 30)")
    parser.add_argument(
        "--pairs",
        type=int,
        default=0,
        help="pairs of windows that measure the work; 40 take ten minutes",
    )
    parser.add_argument(
        "--window", type=float, default=5.5, help="least seconds of each window (default: 5.5)"
    )
    parser.add_argument(
        "--period",
        type=float,
        help="seconds of the limiter's period, to measure the work with another one",
    )
    parser.add_argument(
        "--matrices", action="store_true", help="measure the work with threads of one process"
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=os.cpu_count() or 1,
        help="number of processes, or of threads (default: all cores)",
    )
    parser.add_argument("--save", type=Path, help="file for the ratio of each window (JSON)")
    options = parser.parse_args()
    if not options.rounds and not options.pairs:
        options.rounds, options.pairs = 3, 40
    if options.rounds:
        off = shares(options.target, options.seconds, options.rounds, options.processes)
        if off:
            print(f"share: {min(off):+.2f} to {max(off):+.2f} points off in {len(off)} runs")
    if options.period:
        cpu_limiter.PERIODS = (options.period,)
    if options.pairs:
        measure = matrices if options.matrices else rates
        ratios = measure(options.target, options.window, options.pairs, options.processes)
        error = statistics.stdev(ratios) / math.sqrt(len(ratios)) if len(ratios) > 1 else math.nan
        print(
            f"work: {statistics.mean(ratios):.1%} +- {error:.1%} of the ideal share"
            f" (median {statistics.median(ratios):.1%}, {len(ratios)} windows)"
        )
        if options.save:
            options.save.write_text(json.dumps(ratios), encoding="utf-8")


if __name__ == "__main__":
    main()
