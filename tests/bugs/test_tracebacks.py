"""Logs of any length and encoding can be read, even garbage."""

from __future__ import annotations

import io
import itertools
import sys
import tracemalloc
from unittest import mock

import pytest
from explain_examples import EIGHT, FAMOUS, found, pipe

from metalassay.bugs import tracebacks
from metalassay.cli import main
from metalassay.diagnosis import explain


def test_the_end_of_a_long_log_is_read_and_the_rest_counted() -> None:
    log = b"x" * 1_000_000 + FAMOUS.encode()
    text, left_out = tracebacks.read_tail(io.BytesIO(log), most=500)
    assert text.endswith(FAMOUS)
    assert len(text) == 500
    assert left_out == len(log) - 500
    assert tracebacks.read_tail(io.BytesIO(b"short"), most=500) == ("short", 0)


def test_reading_a_long_stream_needs_little_memory() -> None:
    """Of a stream of 64 MB little more than the requested end is kept."""
    blocks = (b"%065536d" % number for number in range(1000))
    stream = mock.Mock(**{"read.side_effect": itertools.chain(blocks, [b""])})
    tracemalloc.start()
    text, left_out = tracebacks.read_tail(stream, most=100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) == 100_000
    assert left_out == 1000 * 2**16 - 100_000
    assert peak < 10_000_000


def test_a_very_long_line_is_split() -> None:
    lines = tracebacks.clean("Trainer" * 10_000 + FAMOUS).splitlines()
    assert max(len(line) for line in lines) <= 4_000
    assert "".join(lines).endswith(FAMOUS)


def test_the_command_reports_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = b"all is well\n" * 200_000 + FAMOUS.encode()
    monkeypatch.setattr(tracebacks, "MOST_BYTES", 70_000)
    monkeypatch.setattr(sys, "stdin", pipe(log))
    assert main.main(["explain", "--versions", "accelerate=1.8.0"]) == 0
    output = capsys.readouterr()
    assert f"{len(log) - 70_000:,} bytes before it were left out" in output.err
    assert FAMOUS in " ".join(output.out.split())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_log_of_any_encoding_is_read(encoding: str) -> None:
    text, _ = tracebacks.read_tail(io.BytesIO(FAMOUS.encode(encoding)), most=10_000)
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


def test_garbage_is_not_a_bug_and_does_not_crash() -> None:
    text, _ = tracebacks.read_tail(io.BytesIO(bytes(range(256)) * 200), most=60_000)
    answer = explain.explain(text, EIGHT)
    assert answer.explanations == ()
    assert not set("\0\x1b\x9b") & set(explain.as_text(answer))
