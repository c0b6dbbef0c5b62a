"""Connections of the user's code: refused and named while it is watched, and only then."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from metalassay.ask import offline


@pytest.mark.parametrize(
    ("connect", "host"),
    [
        (lambda: socket.create_connection(("model.example", 443), timeout=5), "model.example"),
        (lambda: socket.getaddrinfo("data.example", 80), "data.example"),
        (lambda: socket.gethostbyname("old.example"), "old.example"),
        (lambda: socket.socket().connect(("192.0.2.1", 80)), "192.0.2.1"),
        (lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80, 0, 0)), "2001:db8::1"),
    ],
)
def test_a_connection_is_refused_and_named(connect: Callable[[], object], host: str) -> None:
    with offline.watched() as hosts, pytest.raises(offline.OfflineError, match=host):
        connect()
    assert hosts == [host]


def test_this_machine_may_be_talked_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, offline.watched() as hosts:
        with socket.create_connection(server.getsockname()):
            pass
        socket.getaddrinfo("localhost", 80)
        one, other = socket.socketpair()
        one.close()
        other.close()
    assert hosts == []


def test_nothing_is_refused_afterwards() -> None:
    with offline.watched() as hosts:
        pass
    with socket.socket() as other:
        other.settimeout(0.001)
        assert not isinstance(_error(lambda: other.connect(("192.0.2.1", 9))), offline.OfflineError)
    assert hosts == []


def _error(connect: Callable[[], object]) -> OSError | None:
    try:
        connect()
    except OSError as error:
        return error
    return None
