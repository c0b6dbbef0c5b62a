"""Who may reach a fleet: a scheduler and a worker run any code that they are sent.

An address on this machine needs nothing. Any other needs TLS with certificates of one's own, or an
explicit word that the network is trusted.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.errors import UserError, reason

PORT = 8786
"""Dask's own."""

_ADDRESS = re.compile(r"(?:(tcp|tls)://)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(?::(\d{1,5}))?")
_GUIDE = 'docs/fleet.md, "Certificates"'


@dataclass(frozen=True)
class Tls:
    """The files of one machine: the authority that signed all certificates, its own one, and its key."""

    ca: Path
    certificate: Path
    key: Path

    def options(self) -> list[str]:
        """Return Dask's options of the command line."""
        return [
            *("--tls-ca-file", str(self.ca)),
            *("--tls-cert", str(self.certificate)),
            *("--tls-key", str(self.key)),
        ]


def tls(ca: Path | None, certificate: Path | None, key: Path | None) -> Tls | None:
    """Return the three files, or None if none is given.

    Raises ``UserError`` if one or two of them are missing, if a file cannot be read, and if they are no
    certificates or the key is another one's.
    """
    given = {"--tls-ca": ca, "--tls-cert": certificate, "--tls-key": key}
    missing = [name for name, path in given.items() if path is None]
    if len(missing) == len(given):
        return None
    if ca is None or certificate is None or key is None:
        raise UserError(f"{' and '.join(missing)} missing: TLS needs all three files", _GUIDE)
    for name, path in given.items():
        if path is not None and not os.access(path, os.R_OK):
            raise UserError(f"{name} {path}: there is no file that can be read", _GUIDE)
    try:
        context = ssl.create_default_context(cafile=str(ca))
    except OSError as error:
        raise UserError(f"--tls-ca {ca} is no certificate: {reason(error)}", _GUIDE) from None
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        why = f"--tls-cert {certificate} and --tls-key {key} do not fit together: {reason(error)}"
        raise UserError(why, _GUIDE) from None
    return Tls(ca, certificate, key)


def address(text: str, certificates: Tls | None, *, insecure: bool) -> str:
    """Return the full address of a scheduler, such as ``tls://10.0.0.2:8786``.

    Raises ``UserError`` for an address that makes no sense, and for one on another machine without
    encryption unless it is wanted ``insecure``.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[3] or PORT) > 65535:
        raise UserError(f"{text!r} is not the address of a scheduler", f"tcp://127.0.0.1:{PORT}")
    scheme = found[1] or ("tls" if certificates else "tcp")
    host, port = found[2], int(found[3] or PORT)
    if scheme == "tls" and certificates is None:
        raise UserError(f"{text}: TLS needs --tls-ca, --tls-cert and --tls-key", _GUIDE)
    if scheme == "tcp" and certificates is not None:
        raise UserError(
            f"{text}: tcp:// is not encrypted, and the certificates would not be used",
            f"tls://{host}:{port}",
        )
    if scheme == "tcp":
        _refuse_open(host, insecure=insecure)
    return f"{scheme}://{host}:{port}"


def host_of(full_address: str) -> str:
    """Return the host of an address that ``address`` returned, without brackets."""
    found = _ADDRESS.fullmatch(full_address)
    return found[2].strip("[]") if found else ""


def port_of(full_address: str) -> int:
    """Return the port of an address that ``address`` returned."""
    return int(full_address.rpartition(":")[2])


def is_this_machine(host: str) -> bool:
    """Return whether only programs on this machine can reach a host by this name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name: wherever it leads


def _refuse_open(host: str, *, insecure: bool) -> None:
    if not insecure and not is_this_machine(host):
        raise UserError(
            f"{host} without TLS: whoever reaches the port can run any program there",
            f"certificates ({_GUIDE}), or --insecure in a network that you trust",
        )


def refuse_busy(host: str, port: int) -> None:
    """Raise ``UserError`` if nothing can listen at an address: another program does, or it is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), port))
        except OSError as error:
            raise UserError(
                f"cannot listen on {host}:{port}: {reason(error)}",
                "another --port, or end the program there: it may be a scheduler already",
            ) from None


def scheduler(host: str, port: int, certificates: Tls | None, *, insecure: bool) -> list[str]:
    """Return the command that starts Dask's scheduler.

    Its dashboard, which has no encryption, is for this machine only. Raises ``UserError`` for a host
    that others can reach without TLS, unless that is wanted ``insecure``.
    """
    if certificates is None:
        _refuse_open(host, insecure=insecure)
    command = [sys.executable, "-P", "-m", "dask", "scheduler", "--host", host, "--port", str(port)]
    command += ["--protocol", "tls" if certificates else "tcp"]
    command += ["--dashboard-address", "127.0.0.1:8787"]
    return [*command, *(certificates.options() if certificates else [])]


def worker(
    full_address: str,
    certificates: Tls | None,
    resources: Mapping[str, float],
    jobs: int,
    cache: Path,
) -> list[str]:
    """Return the command that starts Dask's worker, with its nanny, for ``jobs`` rows at a time.

    It listens on this machine only if the scheduler is here. ``cache`` is the folder for its files.
    """
    command = [sys.executable, "-P", "-m", "dask", "worker", full_address]
    command += ["--nworkers", "1", "--nthreads", str(jobs), "--local-directory", str(cache)]
    # Without an address, Dask's page about the worker is open to the network, also by --no-dashboard.
    command += ["--dashboard-address", "127.0.0.1:0", "--no-dashboard"]
    if is_this_machine(host_of(full_address)):
        command += ["--host", "127.0.0.1"]
    if resources:
        command += ["--resources", as_text(resources)]
    return [*command, *(certificates.options() if certificates else [])]


def variables(certificates: Tls | None) -> dict[str, str]:
    """Return the environment of a scheduler or a worker: encryption is required where it is possible."""
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    if certificates:
        settings["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] = "true"
    return {**os.environ, **settings}


def of_client(certificates: Tls | None) -> Any:
    """Return Dask's ``Security`` for a client, or None without TLS."""
    from distributed import Security

    if certificates is None:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=str(certificates.ca),
        tls_client_cert=str(certificates.certificate),
        tls_client_key=str(certificates.key),
    )


def resources(texts: Sequence[str]) -> dict[str, float]:
    """Read resources as Dask writes them: ``mps=1 m4pro=1``; a name alone counts 1.

    Raises ``UserError`` for anything else.
    """
    found = {}
    for word in " ".join(texts).replace(",", " ").split():
        name, equals, number = word.partition("=")
        try:
            amount = float(number) if equals else 1.0
        except ValueError:
            amount = 0.0
        if not re.fullmatch(r"[\w.-]+", name) or not 0 < amount < 1e6:
            raise UserError(f"{word!r} is not a resource", "--resources 'mps=1 m4pro=1'")
        found[name] = amount
    return found


def as_text(amounts: Mapping[str, float]) -> str:
    """Return resources as Dask reads them."""
    return " ".join(f"{name}={amount:g}" for name, amount in amounts.items())
