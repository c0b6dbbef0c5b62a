"""How near the governor comes to its target, and what it costs: ungoverned and governed, in palindromes.

    python tools/governor_accuracy.py --target 70 --seconds 30 --rounds 3

A program that keeps every core busy runs alone, twice under ``metalassay run --max-cpu``, and alone
again, as a machine that others share grows faster and slower by the minute. Printed are the CPU
time that the program had, in percent of the whole machine, and the work done against the ideal
share: what the program does ungoverned, times the CPU time that the target allows it over what it
had. On a machine where others work too, a target above the ungoverned share shows nothing: such
rounds are marked. Where a machine's speed moves by the minute, short runs tell more of the work
(--seconds 8 --rounds 8), and long ones of the share.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

BUSY = """
import multiprocessing, os, sys, time
def work(until):
    done = 0
    while time.time() < until:
        done += sum(i * i for i in range(2000)) > 0
    return done
if __name__ == "__main__":
    cores, began = int(sys.argv[2]), time.time()
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        done = sum(pool.map(work, [began + float(sys.argv[1])] * cores))
        pool.close()
        pool.join()
    wall, used = time.time() - began, os.times()
    print(done, wall, used.children_user + used.children_system)
"""


def once(seconds: float, cores: int, target: float | None) -> tuple[float, int]:
    """Return CPU % of the machine and the work done; ``target`` in percent, or None."""
    program = [sys.executable, "-c", BUSY, str(seconds), str(cores)]
    if target is not None:
        govern = [sys.executable, "-m", "metalassay", "run", "--max-cpu", str(target), "--"]
        program = govern + program
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    work, wall, used = map(float, done.stdout.split())
    return 100 * used / wall / (os.cpu_count() or 1), int(work)


def main() -> None:
    """Print a line a round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", type=float, default=70)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    errors, works = [], []
    for number in range(options.rounds):
        targets = (None, options.target, options.target, None)
        runs = [once(options.seconds, options.processes, target) for target in targets]
        free_share, free_work = (sum(each) / 2 for each in zip(runs[0], runs[3], strict=True))
        share, work = (sum(each) / 2 for each in zip(runs[1], runs[2], strict=True))
        ideal = free_work * min(options.target / free_share, 1)
        scarce = " (less than the target is free here: no verdict)"
        note = scarce if free_share < options.target + 2 else ""
        print(
            f"round {number + 1}: ungoverned {free_share:.1f} %, governed {share:.1f} % of"
            f" {options.target:g} %, work {work / ideal:.1%} of the ideal share{note}",
            flush=True,
        )
        if not note:
            errors.append(share - options.target)
            works.append(work / ideal)
    if errors:
        print(
            f"median of {len(errors)}: {statistics.median(errors):+.2f} points off,"
            f" work {statistics.median(works):.1%} [{min(works):.1%}, {max(works):.1%}] of the ideal share"
        )


if __name__ == "__main__":
    main()
