"""Logs to explain may be of any length, in any encoding, and garbage."""

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


def test_of_a_long_log_the_end_is_read_and_the_rest_is_counted() -> None:
    log = b"x" * 1_000_000 + FAMOUS.encode()
    text, left_out = tracebacks.read_tail(io.BytesIO(log), most=500)
    assert text.endswith(FAMOUS)
    assert len(text) == 500
    assert left_out == len(log) - 500
    assert tracebacks.read_tail(io.BytesIO(b"short"), most=500) == ("short", 0)


def test_a_log_larger_than_memory_is_no_problem() -> None:
    """The stream is 64 MB; what is kept must stay near what was asked for."""
    blocks = (b"%065536d" % number for number in range(1000))
    stream = mock.Mock(**{"read.side_effect": itertools.chain(blocks, [b""])})
    tracemalloc.start()
    text, left_out = tracebacks.read_tail(stream, most=100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) == 100_000
    assert left_out == 1000 * 2**16 - 100_000
    assert peak < 10_000_000


def test_an_endless_line_is_split_so_that_no_pattern_runs_over_megabytes() -> None:
    lines = tracebacks.clean("Trainer" * 10_000 + FAMOUS).splitlines()
    assert max(len(line) for line in lines) <= 4_000
    assert "".join(lines).endswith(FAMOUS)


def test_what_was_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = b"all is well\n" * 200_000 + FAMOUS.encode()
    monkeypatch.setattr(tracebacks, "MOST_BYTES", 70_000)
    monkeypatch.setattr(sys, "stdin", pipe(log))
    assert main.main(["explain", "--versions", "accelerate=1.8.0"]) == 0
    said = capsys.readouterr()
    assert f"{len(log) - 70_000:,} bytes before it were left out" in said.err
    assert FAMOUS in " ".join(said.out.split())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_log_of_any_encoding_reads(encoding: str) -> None:
    text, _ = tracebacks.read_tail(io.BytesIO(FAMOUS.encode(encoding)), most=10_000)
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


def test_garbage_is_no_bug_and_no_crash() -> None:
    text, _ = tracebacks.read_tail(io.BytesIO(bytes(range(256)) * 200), most=60_000)
    answer = explain.explain(text, EIGHT)
    assert answer.explanations == ()
    assert not set("\0\x1b\x9b") & set(explain.as_text(answer))
