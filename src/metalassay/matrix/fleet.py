"""Runs rows of the matrix on the workers of a Dask scheduler: one task a row, the verdict files come back.

Which worker runs a row, and what happens when one dies, is Dask's business. This module decides what is
sent, keeps what returns, and says in one line why a row cannot run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import queue
import socket
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metalassay.environment import extras
from metalassay.errors import UserError, reason
from metalassay.files import write_atomically
from metalassay.interrupts import Interrupts
from metalassay.matrix import bench, fleet_security, fleet_worker, inputs, sources
from metalassay.matrix.fleet_security import Tls, as_text
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.progress import Progress
from metalassay.matrix.run_row import ERROR, STATES, Options, Outcome
from metalassay.results import unfinished

INSTALL = extras.install("fleet")

REACH = 5.0
"""Seconds for something to listen at the scheduler's address: both may have been started together."""

ANSWER = 30.0
"""Seconds for what listens there to answer: a scheduler on a busy machine takes its time."""

GRACE = 60.0
"""Seconds for a worker to come back: a nanny starts a new one within a few."""

_LOOK = 5.0  # seconds between two questions about the workers
_AGAIN = 5  # times that a row which killed nobody is handed in again


@dataclass(frozen=True)
class Fleet:
    """Where rows are run. ``address`` is from ``fleet_security.address``, ``tls`` the certificates or None.

    ``needs`` is what every row asks for beside its own ``needs``. With ``wait``, rows wait for a worker that
    offers it, for ever; otherwise that is an error.
    """

    address: str
    tls: Tls | None = None
    needs: Mapping[str, float] = field(default_factory=dict)
    wait: bool = False


class SchedulerLostError(Exception):
    """The connection to the scheduler broke; it forgets its tasks when it ends."""


@dataclass
class _Task:
    """A row, or the benchmarks (``row`` None), on its way.

    ``begun`` has a worker for each time that it began, ``machine`` the last one's hardware.
    """

    row: Row | None
    needs: Mapping[str, float]
    order: Mapping[str, Any]
    priority: int = 0
    begun: list[str] = field(default_factory=list)
    started: datetime | None = None
    machine: Mapping[str, object] | None = None
    attempts: int = 0
    stranded: float | None = None

    @property
    def name(self) -> str:
        """The row's id."""
        return self.row.id if self.row else bench.NAME


def run(
    rows: Sequence[Row],
    options: Options,
    fleet: Fleet,
    known: Mapping[str, float],
    *,
    benchmarks: bool = False,
) -> list[Outcome]:
    """Run rows on a fleet, and the benchmarks if wanted; return how each ended, in the order given.

    Of ``options``, the environments are the workers' own business. ``known`` has the seconds of each row's
    last run. Raises ``UserError`` when the scheduler does not answer or is lost, when programs do not fit
    together, and when no worker offers what a row needs. ``KeyboardInterrupt`` gives up all rows.
    """
    with Interrupts() as interrupts, contextlib.ExitStack() as stack:
        with interrupts.at_once():
            client = stack.enter_context(_client(fleet))
            workers = _workers(client)
            _refuse_other_versions(client)
            tasks = _tasks(rows, options, fleet, known, benchmarks=benchmarks)
            if not fleet.wait:
                _refuse_unmet_needs(tasks, workers)
            _allow_failures(client)
            archive = sources.pack(options.root)
        slots = sum(worker["nthreads"] for worker in workers.values())
        progress = Progress([task.name for task in tasks], known, max(1, slots))
        running = _Run(client, tasks, archive, options, fleet, progress, interrupts)
        try:
            running.hand_in()
            outcomes = running.until_done()
        except SchedulerLostError:
            running.leave_marks("the scheduler was lost")
            done = len(running.outcomes)
            raise UserError(
                f"the scheduler at {fleet.address} was lost; {done} of {len(tasks)} rows are done",
                "start it and its workers, then the same command again: it goes on from there",
            ) from None
        except BaseException:
            running.give_up()
            raise
        finally:
            progress.close()
    order = [*([bench.NAME] if benchmarks else []), *(row.id for row in rows)]
    return [outcomes[name] for name in order]


class _Run:
    """The rows of one command, from the first that is handed in to the last that ends."""

    def __init__(
        self,
        client: Any,
        tasks: Sequence[_Task],
        archive: sources.Archive,
        options: Options,
        fleet: Fleet,
        progress: Progress,
        interrupts: Interrupts,
    ) -> None:
        from distributed import as_completed

        self.interrupts = interrupts
        self.client, self.options, self.fleet, self.progress = client, options, fleet, progress
        self.name = uuid.uuid4().hex[:12]
        self.tasks = {task.name: task for task in tasks}
        self.sources = archive
        self.archive: Any = None
        self.outcomes: dict[str, Outcome] = {}
        self.futures: dict[Any, _Task] = {}
        self.completed = as_completed([], loop=client.loop, raise_errors=False)
        self.events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self.looked = time.monotonic()

    def hand_in(self) -> None:
        """Hand all rows in, with the sources that they are run from."""
        self.client.subscribe_topic(fleet_worker.TOPIC, lambda event: self.events.put(event[1]))
        # A task and no scattered data: what a worker that died has held is made again.
        self.archive = self.send(
            fleet_worker.same, self.sources.content, key=f"metalassay-sources-{self.sources.name}"
        )
        for task in self.tasks.values():
            task.order = {**task.order, "run": self.name, "sources": self.sources.name}
            self.submit(task)

    def submit(self, task: _Task) -> None:
        """Hand a task in."""
        task.attempts += 1
        future = self.send(
            fleet_worker.perform,
            task.order,
            self.archive,
            key=f"metalassay-{task.name}-{self.name}-{task.attempts}",
            pure=False,
            resources=dict(task.needs),
            priority=-task.priority,
        )
        self.futures[future] = task
        self.completed.add(future)

    def send(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Submit a task to Dask, whose client may not be asked any more once it is closed."""
        if self.client.status != "running":
            raise SchedulerLostError
        return self.client.submit(function, *arguments, **options)

    def until_done(self) -> dict[str, Outcome]:
        """Wait for all rows and keep what they return, by name."""
        while self.futures:
            self.interrupts.check()
            self.read_events()
            for future in self.completed.next_batch(block=False):
                task = self.futures.pop(future, None)
                if task is not None:
                    self.read_events()
                    self.ended(task, future)
                    future.release()
            if self.client.status != "running":
                raise SchedulerLostError
            if time.monotonic() - self.looked > _LOOK:
                self.look_for_stranded()
            self.progress.tick()
            time.sleep(0.1)
        return self.outcomes

    def read_events(self) -> None:
        """Note which rows have begun since."""
        while not self.events.empty():
            event = self.events.get()
            task = self.tasks.get(event["task"])
            if event["run"] != self.name or task is None or task.name in self.outcomes:
                continue
            task.started, task.machine = datetime.now(UTC), event["hardware"]
            if task.begun:
                self.progress.say(
                    f"{task.name}: its worker on {task.begun[-1]} is gone; it runs again on"
                    f" {_place(event)}"
                )
            task.begun.append(_place(event))
            if len(task.begun) > fleet_worker.ALLOWED_FAILURES + 1:
                self.cancel(task, _killer(task.begun[:-1]))
            else:
                self.mark(task, "it began, and no end was recorded")
                self.progress.begins(task.name)

    def ended(self, task: _Task, future: Any) -> None:
        """Keep what a finished task returned, or find out why it did not finish."""
        from distributed import KilledWorker

        if future.status == "finished":
            self.keep(task, future.result())
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, KilledWorker):
                self.finish(task, Outcome(task.name, ERROR, f"on its worker: {reason(error)}"))
            elif len(task.begun) <= fleet_worker.ALLOWED_FAILURES and task.attempts < _AGAIN:
                # Dask blames every task that a dead worker had in its queue; this one was not running.
                self.submit(task)
            else:
                self.finish(task, Outcome(task.name, ERROR, _killer(task.begun)))
        else:
            self.futures[future] = task
            raise SchedulerLostError

    def keep(self, task: _Task, result: Mapping[str, Any]) -> None:
        """Write the files of a row where they belong, each completely or not at all."""
        for name, content in result["files"].items():
            if Path(name).name != name or not name.startswith(task.name):
                self.finish(task, Outcome(task.name, ERROR, f"a worker sent a file {name!r}"))
                return
            beside = bench.FOLDER if task.row is None and name.endswith(".json") else ""
            write_atomically(
                self.options.output / beside / name, content.decode("utf-8", errors="replace")
            )
        if "outcome" in result:
            ended = outcome(result["outcome"])
        else:
            ended = Outcome(task.name, ERROR, result["error"])
        if ended.state == ERROR:
            ended = replace(ended, why=f"{ended.why} (on {_place(result)})")
        self.finish(task, ended)

    def finish(self, task: _Task, ended: Outcome) -> None:
        """Note how a row ended."""
        self.outcomes[task.name] = ended
        if ended.state == ERROR:
            self.mark(task, ended.why)
        elif task.row is not None and not self.options.arguments:
            unfinished.clear(self.target(task))
        self.progress.ends(ended)

    def cancel(self, task: _Task, why: str) -> None:
        """Give one row up."""
        for future in [future for future, other in self.futures.items() if other is task]:
            del self.futures[future]
            self.take_back([future])
        self.finish(task, Outcome(task.name, ERROR, why))

    def look_for_stranded(self) -> None:
        """Give up the rows that no worker can run any more, unless they are to wait."""
        self.looked = time.monotonic()
        try:
            with self.interrupts.at_once():  # a scheduler that hangs does not answer for minutes
                offers = [_offer(worker) for worker in _workers(self.client).values()]
        except OSError:
            raise SchedulerLostError from None
        for task in list(self.futures.values()):
            if _met(task.needs, offers):
                task.stranded = None
            elif task.stranded is None:
                task.stranded = time.monotonic()
                self.progress.say(f"{task.name} {_unmet(task.needs, offers)}; waiting")
            elif time.monotonic() - task.stranded > GRACE and not self.fleet.wait:
                self.cancel(task, f"{task.name} {_unmet(task.needs, offers)}")

    def leave_marks(self, why: str) -> None:
        """Say beside the verdict files that the rows which ran have not finished."""
        for task in self.futures.values():
            if task.begun:
                self.mark(task, why)

    def give_up(self) -> None:
        """Take the tasks back; their workers then kill what runs."""
        self.read_events()  # a row that has begun a moment ago needs its marker too
        self.leave_marks("interrupted")
        self.take_back([*self.futures, *([self.archive] if self.archive else [])])

    def take_back(self, futures: Sequence[Any]) -> None:
        """Ask the scheduler to forget tasks; one that is lost has forgotten them."""
        if self.client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                self.client.cancel(futures)

    def mark(self, task: _Task, why: str) -> None:
        """Leave a marker for a row that has no verdicts."""
        if task.row is None or self.options.arguments:
            return
        began = task.started or datetime.now(UTC)
        unfinished.write(self.target(task), task.row.record(), began, why, task.machine)

    def target(self, task: _Task) -> Path:
        """Return the verdict file of a row."""
        return self.options.output / f"{task.name}.json"


def outcome(record: Mapping[str, Any]) -> Outcome:
    """Read what ``fleet_row.as_record`` wrote. Raises ``ValueError`` for anything else."""
    if record["state"] not in STATES:
        raise ValueError(f"a row cannot end as {record['state']!r}")
    when = record["unchanged"]
    return Outcome(**{**record, "unchanged": datetime.fromisoformat(when) if when else None})


def _tasks(
    rows: Sequence[Row],
    options: Options,
    fleet: Fleet,
    known: Mapping[str, float],
    *,
    benchmarks: bool,
) -> list[_Task]:
    """Return the tasks, the longest first; a row that was never timed counts as long."""
    same = {
        "fresh": options.fresh,
        "strict": options.strict,
        "arguments": list(options.arguments),
        "commit": inputs.commit(options.root),
    }
    tasks = []
    if benchmarks:
        order = {**same, "task": bench.NAME, "row": None, "known": {}}
        tasks.append(_Task(None, dict(fleet.needs), order))
    for row in sorted(rows, key=lambda row: -known.get(row.id, float("inf"))):
        earlier = {} if options.fresh else _earlier(options.output / f"{row.id}.json")
        order = {**same, "task": row.id, "row": row.id, "known": earlier}
        needs = {**dict.fromkeys(row.needs, 1.0), **fleet.needs}
        tasks.append(_Task(row, needs, order))
    for place, task in enumerate(tasks):
        task.priority = place
    return tasks


def _earlier(target: Path) -> dict[str, bytes]:
    """Return the verdict file that a worker may find unchanged; none if its last run did not finish.

    The key depends on what the worker resolves, so that only the worker can compare it.
    """
    if unfinished.path_of(target).exists():
        return {}
    try:
        return {target.name: target.read_bytes()}
    except OSError:
        return {}


@contextlib.contextmanager
def _client(fleet: Fleet) -> Iterator[Any]:
    if importlib.util.find_spec("distributed") is None:
        raise UserError("a fleet needs distributed, which is not installed", INSTALL)
    try:
        # Before Dask is imported, which takes a second, and ten on a busy machine.
        _reach(fleet.address)
    except OSError as error:
        raise _no_scheduler(fleet, error) from None
    import distributed

    # What Dask logs about a scheduler that is lost is said here in one line.
    for name in ("distributed", "distributed.client", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # each has a level of its own
    warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
    certificates = fleet_security.of_client(fleet.tls)
    try:
        _greet(fleet.address, certificates)
        client = distributed.Client(fleet.address, timeout=ANSWER, security=certificates)
    except (OSError, TimeoutError, ValueError) as error:
        raise _no_scheduler(fleet, error) from None
    try:
        yield client
    finally:
        with contextlib.suppress(OSError, TimeoutError):
            client.close(timeout=2)


def _reach(address: str) -> None:
    """Wait until something listens at an address. Raises ``OSError`` after ``REACH`` seconds."""
    end = time.monotonic() + REACH
    where = (fleet_security.host_of(address), fleet_security.port_of(address))
    while True:
        try:
            socket.create_connection(where, timeout=max(0.1, end - time.monotonic())).close()
        except OSError:
            if time.monotonic() > end:
                raise
        else:
            return
        time.sleep(0.1)


def _greet(address: str, certificates: Any) -> None:
    """Wait for what listens at an address to answer as a program of Dask.

    Dask's client waits for that without a limit. Raises ``OSError`` or ``TimeoutError`` after ``ANSWER`` seconds.
    """
    from distributed import Security
    from distributed.comm import connect

    security = certificates or Security()

    async def handshake() -> None:
        comm = await connect(address, timeout=ANSWER, **security.get_connection_args("client"))
        comm.abort()

    async def within_the_limit() -> None:
        await asyncio.wait_for(handshake(), ANSWER)

    asyncio.run(within_the_limit())


def _no_scheduler(fleet: Fleet, error: BaseException) -> UserError:
    """Return what to say: the innermost reason, for Dask wraps a refused connection into a time-out."""
    while error.__cause__ is not None:
        error = error.__cause__
    late = isinstance(error, (TimeoutError, asyncio.CancelledError))
    return UserError(
        f"no scheduler answers at {fleet.address}: {'no answer in time' if late else reason(error)}",
        "metalassay matrix scheduler; if it runs: tls:// needs certificates, tcp:// must have none",
    )


def _workers(client: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _refuse_other_versions(client: Any) -> None:
    """Refuse a scheduler or worker whose Dask differs from ours, or that has no metalassay."""
    found = client.get_versions(packages=["metalassay"])
    ours = found["client"]["packages"]
    others = {"the scheduler": found["scheduler"], **found["workers"]}
    for place, facts in others.items():
        theirs = facts["packages"]
        for package in ("distributed", "dask"):
            if theirs[package] != ours[package]:
                raise UserError(
                    f"{place} has {package} {theirs[package]}, and this machine {ours[package]}",
                    f"pip install {package}=={ours[package]} there",
                )
        if theirs.get("metalassay") is None:
            raise UserError(f"{place} has no metalassay", f"{INSTALL} there")


def _refuse_unmet_needs(tasks: Sequence[_Task], workers: Mapping[str, Any]) -> None:
    if not workers:
        raise UserError(
            "no worker is connected to the scheduler",
            "metalassay matrix worker ADDRESS on each machine, or --wait",
        )
    offers = [_offer(worker) for worker in workers.values()]
    unmet = [task for task in tasks if not _met(task.needs, offers)]
    if unmet:
        first = unmet[0]
        more = f"; so do {len(unmet) - 1} more rows" if len(unmet) > 1 else ""
        raise UserError(
            f"{first.name} {_unmet(first.needs, offers)}{more}",
            f"metalassay matrix worker ADDRESS --resources '{as_text(first.needs)}', or --wait",
        )


def _offer(worker: Mapping[str, Any]) -> Mapping[str, float]:
    return worker.get("resources") or {}


def _met(needs: Mapping[str, float], offers: Sequence[Mapping[str, float]]) -> bool:
    return any(
        all(offer.get(name, 0) >= amount for name, amount in needs.items()) for offer in offers
    )


def _unmet(needs: Mapping[str, float], offers: Sequence[Mapping[str, float]]) -> str:
    if not offers:
        return "needs a worker, and none is connected"
    texts = dict.fromkeys(as_text(offer) or "nothing" for offer in offers)
    return f"needs {as_text(needs)}; the workers offer: {', '.join(texts)}"


def _allow_failures(client: Any) -> None:
    try:
        client.run_on_scheduler(fleet_worker.allow_failures, fleet_worker.ALLOWED_FAILURES)
    except ImportError as error:
        raise UserError(f"the scheduler has no such metalassay: {error}", INSTALL) from None


def _place(about: Mapping[str, Any]) -> str:
    return f"{about['host']}, {about['worker']}"


def _killer(begun: Sequence[str]) -> str:
    return f"{len(begun)} workers died while they ran it: {'; '.join(begun)}"
