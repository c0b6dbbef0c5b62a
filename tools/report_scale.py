"""Measure the time and the peak memory of `metalassay report` over many result files.

    python tools/report_scale.py                      1,000 and 10,000 files
    python tools/report_scale.py 100000 --keep DIR    any number, written to DIR and kept there

The files are copies of the constructed runs of the tests with other machines, times and dates; nothing in
them was measured. They combine twelve machines, four releases of torch and two identities of the workloads;
the other files are newer or older runs under the same conditions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "tests" / "data" / "runs"
GB = 2**30
# The child prints the peak of its resident memory after the report.
CHILD = """
import resource, sys
from metalassay.cli.main import main
code = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"PEAK {peak * (1 if sys.platform == 'darwin' else 1024)}", file=sys.stderr)
sys.exit(code)
"""


def write_files(folder: Path, number: int, seed: int = 0) -> None:
    """Write ``number`` different result files below ``folder``, a thousand per subfolder."""
    chance = random.Random(seed)  # noqa: S311  (no secret)
    documents = [
        json.loads(path.read_text("utf-8"))
        for kind in ("benchmarks", "compat")
        for path in sorted(DATA.glob(f"constructed_{kind}_*.json"))
    ]
    for index in range(number):
        document = documents[index % len(documents)]
        path = folder / f"{index // 1000:03}" / f"run-{index:06}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_varied(document, index, chance), indent=1), "utf-8")


def _varied(document: dict[str, Any], index: int, chance: random.Random) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    when = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=index)).isoformat()
    if "benchmarks" not in copy:
        copy["started"] = when
        copy["hardware"]["memory_bytes"] = 8 * GB * chance.randint(1, 4)
        return copy
    copy["datetime"] = when
    machine = copy["machine_info"]["hardware"]
    machine["memory_bytes"] = 8 * GB * chance.randint(1, 4)
    copy["versions"]["torch"] = chance.choice(("2.10.0", "2.11.0", "2.12.0", "2.13.0"))
    for each in copy["benchmarks"]:
        each["extra_info"]["identity"] = chance.choice(("c0ffee0000000000", "c0ffee0000000001"))
        factor = chance.uniform(0.8, 1.25)
        data = [second * factor for second in each["stats"]["data"]]
        each["stats"]["data"] = data
        each["stats"]["median"] = sorted(data)[len(data) // 2]
    return copy


def measure(files: Path, output: Path, *options: str) -> tuple[float, float, int]:
    """Run a report in a child process; return its wall time in s, peak memory in MB and exit code."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "report", str(files), "-o", str(output), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
    )
    seconds = time.perf_counter() - started
    *warnings, last = done.stderr.splitlines()
    if not last.startswith("PEAK "):
        raise SystemExit(done.stderr)
    for line in warnings[:3]:
        print(line, file=sys.stderr)
    return seconds, int(last.split()[1]) / 2**20, done.returncode


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        yield keep
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def main() -> None:
    """Write files, measure, and print one line for each number of files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("numbers", nargs="*", type=int, metavar="N", default=[1000, 10_000])
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the files to DIR and keep them"
    )
    parser.add_argument("--csv", action="store_true", help="export the rows as CSV and JSON too")
    options = parser.parse_args()
    for number in options.numbers:
        with _folder(options.keep) as folder:
            write_files(folder / f"{number}", number)
            output = folder / f"report-{number}"
            more = ("--csv", str(output / "x.csv"), "--json", str(output / "x.json"))
            seconds, peak, code = measure(
                folder / f"{number}", output, *(more if options.csv else ())
            )
            pages = ", ".join(
                f"{each.name} {each.stat().st_size / 2**20:.2f} MB"
                for each in sorted(output.iterdir())
            )
            print(
                f"{number:,} files: {seconds:.2f} s, {seconds / number * 1000:.3f} ms per file,"
                f" peak {peak:.0f} MB, exit code {code}; {pages}"
            )


if __name__ == "__main__":
    main()
