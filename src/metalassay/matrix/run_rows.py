"""Runs many rows of the matrix on this machine, several at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from metalassay import interrupts
from metalassay.matrix import environments, matrix_file, run_row
from metalassay.matrix.ahead import Ahead
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.progress import Progress
from metalassay.matrix.run_row import Options, Outcome


def run(
    rows: Sequence[Row], options: Options, jobs: int, known: Mapping[str, float]
) -> list[Outcome]:
    """Run rows, ``jobs`` at a time, and return how each ended, in the order given.

    The longest begin first where several run at a time. An interrupt, from the keyboard or by SIGTERM,
    ends every row that runs; what has finished stays. Raises ``UserError`` before the first row if a
    row's interpreter is missing, and ``KeyboardInterrupt`` after an interrupt.
    """
    for row in rows:
        if not matrix_file.why_not_here(row):
            environments.interpreter(row, options.say)
    order = list(rows)
    if jobs > 1:
        order.sort(key=lambda row: -known.get(row.id, 0.0))
    progress = Progress([row.id for row in order], known, jobs)
    ahead = Ahead(order if len(order) > 1 else (), options.root)
    options = replace(options, say=progress.say, ahead=ahead)
    # An interrupt inside ``submit`` loses the thread that it was starting: the pool does not wait for it.
    # No row begins before every thread is known to the pool.
    all_known = threading.Event()

    def one(row: Row) -> Outcome:
        all_known.wait()
        if options.stop.is_set():
            raise run_row.StoppedError
        progress.begins(row.id)
        outcome = run_row.run(row, options)
        progress.ends(outcome)
        return outcome

    with interrupts.end_as_ctrl_c(), ThreadPoolExecutor(jobs) as pool:
        futures: dict[Future[Outcome], str] = {}
        try:
            for row in order:
                futures[pool.submit(one, row)] = row.id
            all_known.set()
            _wait(futures, progress)
        except BaseException:
            options.stop.set()
            all_known.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            progress.close()
            ahead.close()
    outcomes = {name: future.result() for future, name in futures.items()}
    return [outcomes[row.id] for row in rows]


def _wait(futures: Mapping[Future[Outcome], str], progress: Progress) -> None:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()  # an error that is not the row's own ends the run
        progress.tick()
