"""Measure what `metalassay run` costs: its start and end, while it waits, and inside Python processes.

    python tools/run_overhead.py            # about five minutes
    python tools/run_overhead.py --rounds 5 --seconds 10

Starts of Python with and without the start-up hook take turns, so that whatever else the machine does
meets both; the figures are medians, and the interquartile range of the differences of neighbours. The cost
of the step hook is that of one call, in a loop. The watch thread's is the CPU time of a process that waits,
with the thread and without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import metalassay
from metalassay.supervise import protocol

PACKAGE = Path(metalassay.__file__).parent
PATCHES = (
    "accelerate_empty_shard",
    "accelerate_empty_dispatcher",
    "accelerate_empty_epoch",
    "accelerate_n_shard_typo",
)

STEP_HOOK = """
import sys, time, torch
parameter = torch.nn.Parameter(torch.ones(1))
optimizer = torch.optim.SGD([parameter], lr=0.1)
parameter.grad = torch.ones(1)
for _ in range(100): optimizer.step()
hooks = list(sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks.values())
(hook,) = hooks
def nothing(optimizer, arguments, keywords): return
def per_call(function):
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(200_000): function(optimizer, (), {})
        best = min(best, (time.perf_counter() - began) / 200_000)
    return best
print((per_call(hook) - per_call(nothing)) * 1e9)
"""

WAITING = """
import sys, time, torch
time.sleep(2)
began = time.process_time()
time.sleep(float(sys.argv[1]))
print(time.process_time() - began)
"""


@contextmanager
def a_run(**config: float) -> Iterator[dict[str, str]]:
    """Make the folder of a run, read its messages, and return the environment of its processes."""
    folder = Path(tempfile.mkdtemp(prefix="metalassay-", dir="/tmp"))
    protocol.write_config(folder, protocol.Config(PATCHES, **config))  # type: ignore[arg-type]
    ended = threading.Event()
    with protocol.listen(folder) as receiver:

        def read() -> None:
            while not ended.wait(0.05):
                try:
                    while True:
                        receiver.recv(65536)
                except BlockingIOError:
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        yield {
            **os.environ,
            "PYTHONPATH": str(PACKAGE / "child" / "startup"),
            protocol.FOLDER_VARIABLE: str(folder),
        }
        ended.set()
        reader.join()
    shutil.rmtree(folder)


def without() -> dict[str, str]:
    """Return the environment of a process that is in no run."""
    outside = ("PYTHONPATH", protocol.FOLDER_VARIABLE)
    return {name: value for name, value in os.environ.items() if name not in outside}


def seconds(code: str, environment: dict[str, str]) -> float:
    """Return how long a process takes that runs this code."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - began


def output(code: str, environment: dict[str, str], *arguments: str) -> float:
    """Return the number that a process prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def compare_starts(what: str, code: str, rounds: int, hooked: dict[str, str]) -> None:
    """Print how much longer a process takes with the hook."""
    plain = without()
    seconds(code, plain), seconds(code, hooked)
    pairs = []
    for number in range(rounds):
        # Which comes first changes, as the second may find warmer caches.
        first, second = (plain, hooked) if number % 2 else (hooked, plain)
        one, other = seconds(code, first), seconds(code, second)
        pairs.append((one, other) if number % 2 else (other, one))
    differences = [1000 * (with_it - bare) for bare, with_it in pairs]
    low, middle, high = statistics.quantiles(differences, n=4)
    bare = statistics.median(each for each, _ in pairs)
    with_it = statistics.median(each for _, each in pairs)
    print(
        f"{what}: {1000 * bare:.1f} ms without, {1000 * with_it:.1f} ms with the hook,"
        f" ratio {with_it / bare:.3f}; difference {middle:.1f} ms (quartiles {low:.1f} to {high:.1f},"
        f" {rounds} pairs)"
    )


def compare_runs(rounds: int) -> None:
    """Print how much longer a program takes under `metalassay run` as a whole, start and end."""
    bare = [sys.executable, "-c", ""]
    under = [sys.executable, "-m", "metalassay", "run", "--", *bare]
    pairs = []
    for number in range(rounds + 1):
        taken = {}
        for name in ("bare", "under") if number % 2 else ("under", "bare"):
            began = time.perf_counter()
            subprocess.run(bare if name == "bare" else under, check=True)
            taken[name] = 1000 * (time.perf_counter() - began)
        pairs.append((taken["bare"], taken["under"]))
    differences = [under - bare for bare, under in pairs[1:]]
    low, middle, high = statistics.quantiles(differences, n=4)
    print(
        f"metalassay run, start and end: {statistics.median(bare for bare, _ in pairs[1:]):.0f} ms bare,"
        f" {statistics.median(under for _, under in pairs[1:]):.0f} ms under it; difference {middle:.0f} ms"
        f" (quartiles {low:.0f} to {high:.0f}, {rounds} pairs)"
    )


def share_while_running(length: float) -> float:
    """Return the percentage of a CPU that `metalassay run` itself takes while a program waits."""
    code = (
        "import os, sys\n"
        "from metalassay.cli.main import main\n"
        "main(['run', '--stall', '600', '--', sys.executable, '-c', sys.argv[1], sys.argv[2]])\n"
        "own = os.times()\n"
        "print(own.user + own.system)"
    )
    waiting = "import sys, time; time.sleep(float(sys.argv[1]))"

    def own_seconds(wait: float) -> float:
        command = [sys.executable, "-c", code, waiting, str(wait)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return float(done.stdout)

    return 100 * (own_seconds(length) - own_seconds(0)) / length


def main() -> None:
    """Measure and print everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="pairs of starts of a bare Python")
    parser.add_argument("--torch-rounds", type=int, default=7, help="pairs of imports of torch")
    parser.add_argument("--seconds", type=float, default=60, help="time to watch the watch thread")
    options = parser.parse_args()
    compare_runs(options.rounds)
    share = share_while_running(options.seconds)
    print(f"metalassay run: {share:.3f} % of a CPU while a program waits {options.seconds:g} s")
    with a_run() as hooked:
        compare_starts("start of Python", "", options.rounds, hooked)
        compare_starts("import torch", "import torch", options.torch_rounds, hooked)
        print(f"step hook: {output(STEP_HOOK, hooked):.0f} ns a step")
        duration = str(options.seconds)
        watched, bare = output(WAITING, hooked, duration), output(WAITING, without(), duration)
        share = 100 * (watched - bare) / options.seconds
        print(
            f"watch thread: {share:.3f} % of a CPU over {options.seconds:g} s, tick 1 s, every 5 s"
        )


if __name__ == "__main__":
    main()
