"""`metalassay matrix scheduler`, `worker` and `run --scheduler`: the options and what they call."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metalassay.cli import option_types
from metalassay.cli.option_types import whole

if TYPE_CHECKING:
    from metalassay.matrix.fleet import Fleet
    from metalassay.matrix.fleet_security import Tls
    from metalassay.matrix.matrix_file import Row
    from metalassay.matrix.run_row import Options, Outcome

_PORT = 8786  # Dask's own


def configure_scheduler(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `metalassay matrix scheduler`."""
    parser.description = (
        "Start Dask's own scheduler, to which workers and clients connect. It runs whatever it is"
        " sent: without certificates it listens on this machine only. Its dashboard is at"
        " http://127.0.0.1:8787 if bokeh is installed."
    )
    parser.epilog = """\
examples:
  metalassay matrix scheduler
  metalassay matrix scheduler --host 10.0.0.2 --tls-ca ca.pem --tls-cert box.pem --tls-key box.key

The certificates, and the commands for several machines: docs/fleet.md

exit code: 0 it was ended, 2 bad input, otherwise Dask's own"""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=whole(1, 65535), default=_PORT, metavar="N", help="port to listen on"
    )
    _add_security(parser)
    parser.set_defaults(act=_scheduler)


def configure_worker(parser: argparse.ArgumentParser) -> None:
    """Add the description and the options of `metalassay matrix worker`."""
    parser.description = (
        "Start Dask's own worker, which runs rows that clients hand to the scheduler. It keeps their"
        " sources and environments in METALASSAY_CACHE (default: ~/.cache/metalassay/fleet). It waits"
        " for the scheduler, and ends with it."
    )
    parser.epilog = """\
examples:
  metalassay matrix worker tcp://127.0.0.1:8786 --jobs 2 --resources linux=2
  metalassay matrix worker tls://10.0.0.2:8786 --resources 'mps=1 m4pro=1' \\
    --tls-ca ca.pem --tls-cert mini.pem --tls-key mini.key

The certificates, and the commands for several machines: docs/fleet.md

exit code: 0 it was ended, 2 bad input, otherwise Dask's own"""
    parser.add_argument(
        "address", metavar="ADDRESS", help="the scheduler, as in tcp://127.0.0.1:8786"
    )
    parser.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="NAME=N",
        help="what rows may ask for, and how much at a time; repeatable",
    )
    parser.add_argument(
        "-j", "--jobs", type=whole(1, 256), default=1, metavar="N", help="rows at a time"
    )
    _add_security(parser)
    parser.set_defaults(act=_worker)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `metalassay matrix run` that concern a fleet."""
    group = parser.add_argument_group("a fleet (docs/fleet.md)")
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="run the rows on the workers of this Dask scheduler"
    )
    group.add_argument(
        "--resources",
        action="append",
        default=[],
        metavar="NAME=N",
        help="what a worker must offer, beside what matrix.toml says; repeatable",
    )
    group.add_argument(
        "--wait",
        action="store_true",
        help="wait for a worker that offers it; without this it is an error",
    )
    group.add_argument(
        "--bench",
        action="store_true",
        help="also run the benchmarks, alone on their machine, into benchmarks/ below --output",
    )
    _add_security(group)


def _add_security(parser: argparse._ActionsContainer) -> None:
    files = {
        "ca": "certificate of the authority that signed all the others",
        "cert": "certificate of this machine",
        "key": "private key of this machine",
    }
    for name, text in files.items():
        parser.add_argument(f"--tls-{name}", type=option_types.path, metavar="FILE", help=text)
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="no TLS, although others on the network can then run any program on these machines",
    )


def is_wanted(options: argparse.Namespace) -> bool:
    """Return whether rows run on a fleet. Raises ``UserError`` for options that need --scheduler."""
    from metalassay.errors import UserError

    if options.scheduler:
        if options.jobs != 1:
            raise UserError("-j: each worker has its own number of rows", "worker --jobs N")
        return True
    given = {
        "--resources": options.resources,
        "--wait": options.wait,
        "--bench": options.bench,
        "--tls-ca": options.tls_ca,
        "--tls-cert": options.tls_cert,
        "--tls-key": options.tls_key,
        "--insecure": options.insecure,
    }
    for name, value in given.items():
        if value:
            raise UserError(f"{name} is for a fleet", "add --scheduler ADDRESS, or leave it out")
    return False


def named(options: argparse.Namespace) -> Fleet:
    """Return the fleet that the options name. Raises ``UserError`` for what does not fit together."""
    from metalassay.matrix import fleet, fleet_security

    certificates = _tls(options)
    address = fleet_security.address(options.scheduler, certificates, insecure=options.insecure)
    needs = fleet_security.resources(options.resources)
    return fleet.Fleet(address, certificates, needs, options.wait)


def run(
    rows: Sequence[Row],
    run_options: Options,
    known: Mapping[str, float],
    where: Fleet,
    *,
    benchmarks: bool,
) -> list[Outcome]:
    """Run rows on a fleet, and return how each ended."""
    from metalassay import interrupts
    from metalassay.matrix import fleet

    try:
        return fleet.run(rows, run_options, where, known, benchmarks=benchmarks)
    except KeyboardInterrupt:
        interrupts.ignore()
        raise


def _tls(options: argparse.Namespace) -> Tls | None:
    from metalassay.matrix import fleet_security

    return fleet_security.tls(options.tls_ca, options.tls_cert, options.tls_key)


def _scheduler(options: argparse.Namespace) -> int:
    from metalassay.matrix import fleet_security

    certificates = _tls(options)
    command = fleet_security.scheduler(
        options.host, options.port, certificates, insecure=options.insecure
    )
    fleet_security.refuse_busy(options.host, options.port)
    return _become(command, certificates)


def _worker(options: argparse.Namespace) -> int:
    from metalassay.errors import cannot_write
    from metalassay.matrix import fleet_security, fleet_worker

    certificates = _tls(options)
    address = fleet_security.address(options.address, certificates, insecure=options.insecure)
    offered = fleet_security.resources(options.resources)
    scratch = fleet_worker.cache() / "dask"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(scratch, error, "set METALASSAY_CACHE to a folder of yours") from None
    return _become(
        fleet_security.worker(address, certificates, offered, options.jobs, scratch), certificates
    )


def _become(command: Sequence[str], certificates: Tls | None) -> int:
    """Replace this process by Dask's program, which then has our signals and our terminal."""
    import importlib.util

    from metalassay.errors import UserError
    from metalassay.matrix import fleet, fleet_security

    if importlib.util.find_spec("distributed") is None:
        raise UserError("a fleet needs distributed, which is not installed", fleet.INSTALL)
    sys.stdout.flush()
    os.execve(command[0], list(command), fleet_security.variables(certificates))  # noqa: S606
