"""Measure how many light curves, as ``train transit`` uses them, one core generates per minute.

    python tools/light_curve_rate.py --chunks 8

It prints the curves per minute of CPU time, with one thread, for chunks of 256 curves: the median and
the slowest chunk. CPU time, so that busy neighbours do not matter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # numpy reads it when it is imported

from metalassay.training.transit import light_curves  # noqa: E402


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    light_curves.chunk(options.seed, 0)  # the first call initialises numpy
    rates = []
    for number in range(1, options.chunks + 1):
        began = time.process_time()
        count = len(light_curves.chunk(options.seed, number).planet)
        rates.append(60 * count / (time.process_time() - began))
    print(
        f"{statistics.median(rates):,.0f} curves per minute on one core"
        f" (median of {len(rates)} chunks of {count}; slowest {min(rates):,.0f})"
    )


if __name__ == "__main__":
    main()
