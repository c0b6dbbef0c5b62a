"""How many light curves one core makes in a minute, both views of each: the data of ``train transit``.

    python tools/light_curve_rate.py --chunks 8

Printed are curves a minute of CPU time, of one thread, over whole chunks of 256 curves; the median
chunk and the slowest. CPU time, so that a busy neighbour does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read by numpy when it is imported

from metalassay.training.transit import light_curves  # noqa: E402


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    light_curves.chunk(options.seed, 0)  # the first call sets numpy up
    rates = []
    for number in range(1, options.chunks + 1):
        began = time.process_time()
        made = len(light_curves.chunk(options.seed, number).planet)
        rates.append(60 * made / (time.process_time() - began))
    print(
        f"{statistics.median(rates):,.0f} curves a minute on one core"
        f" (median of {len(rates)} chunks of {made}; slowest {min(rates):,.0f})"
    )


if __name__ == "__main__":
    main()
