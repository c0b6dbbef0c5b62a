"""Notes whether the user's code talks to the network, and stops it: what is downloaded is not what is measured.

An audit hook of Python sees every connection that Python code opens, also that of libraries. Connections to this
machine, as between processes, are left alone.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watching: list[list[str]] = []
_hooked: list[bool] = []


class OfflineError(ConnectionError):
    """What the user's code gets for a connection: a library that can do without goes on."""


@contextmanager
def watched() -> Iterator[list[str]]:
    """Refuse connections inside the block; yield the list of the hosts that were asked for."""
    if not _hooked:
        sys.addaudithook(_hook)  # for the life of the process; it does nothing outside a block
        _hooked.append(True)
    hosts: list[str] = []
    _watching.append(hosts)
    try:
        yield hosts
    finally:
        _watching.remove(hosts)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or event not in (
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.connect",
    ):
        return
    host = _host(event, arguments)
    if host is None or _is_here(host):
        return
    for hosts in _watching:
        if host not in hosts:
            hosts.append(host)
    raise OfflineError(f"no connection to {host} while metalassay checks the file")


def _host(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return the host of a connection, None for one that has none, such as a socket in the file system."""
    if event != "socket.connect":
        host = arguments[0]
    else:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) and address else None
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    return host if isinstance(host, str) else None


def _is_here(host: str) -> bool:
    if host.lower() in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
