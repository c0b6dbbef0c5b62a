"""Logs of any length and encoding can be read; what ended the program is kept."""

from __future__ import annotations

import io
import itertools
import tracemalloc
from unittest import mock

import pytest
from explain_examples import EIGHT, FAMOUS, found

from metalassay.diagnosis import explain, explain_text, log_excerpt

LINE = b"{'loss': 1.2345, 'grad_norm': 0.9876, 'learning_rate': 4.9e-05, 'epoch': 0.01}\n"
TRACEBACK = f"""\
Traceback (most recent call last):
  File "/home/u/train.py", line 12, in main
    trainer.train()
  File "/home/u/lib/python3.11/site-packages/accelerate/data_loader.py", line 576, in __iter__
    current_batch = send_to_device(current_batch)
{FAMOUS}
""".encode()


def read(data: bytes) -> log_excerpt.Excerpt:
    return log_excerpt.read(io.BytesIO(data))


def test_a_short_log_is_kept_whole() -> None:
    log = LINE * (log_excerpt.WHOLE // len(LINE))
    assert read(log) == log_excerpt.Excerpt(log.decode(), len(log), 0)
    assert read(b"") == log_excerpt.Excerpt("", 0, 0)


@pytest.mark.parametrize("place", [0.0, 0.01, 0.3, 0.5, 0.999, 1.0])
def test_a_traceback_anywhere_in_a_long_log_is_found(place: float) -> None:
    lines = 60_000
    before = int(place * lines)
    excerpt = read(LINE * before + TRACEBACK + LINE * (lines - before))
    assert TRACEBACK.decode() in excerpt.text
    assert len(excerpt.text) < log_excerpt.WHOLE
    assert found(excerpt.text, EIGHT) == {"accelerate-empty-shard": "yes"}


@pytest.mark.parametrize(
    "size", [log_excerpt.WHOLE - 200, 2**20 - 300, 2**20 - 6200, 2 * 2**20 - 50]
)
def test_a_traceback_at_the_border_of_a_block_is_found(size: int) -> None:
    excerpt = read(b"x" * 77 + b"\n" + LINE * (size // len(LINE)) + TRACEBACK + LINE * 40_000)
    assert TRACEBACK.decode() in excerpt.text


def test_the_last_exception_of_every_rank_is_kept() -> None:
    """Eight ranks fail in turn, each followed by a megabyte of another rank's complaints."""
    log = b""
    for rank in range(8):
        log += b"".join(b"[rank%d]: " % rank + line for line in TRACEBACK.splitlines(keepends=True))
        log += b"[rank9]: ConnectionError: trying again\n" * 30_000
    text = read(log).text
    assert [rank for rank in range(8) if f"[rank{rank}]: {FAMOUS}" in text] == [*range(8)]


def test_beginning_and_end_are_kept_and_gaps_are_named() -> None:
    log = b"torch==2.5.1\n" + LINE * 100_000 + b"the end\n"
    excerpt = read(log)
    assert excerpt.text.startswith("torch==2.5.1\n")
    assert excerpt.text.endswith("the end\n")
    assert excerpt.read == len(log)
    assert f"[... {excerpt.left_out} bytes left out ...]" in excerpt.text


def test_a_warning_in_the_middle_is_kept_without_most_repetitions() -> None:
    warning = b"a.py:12: UserWarning: pin_memory argument is set as true but not supported on MPS\n"
    text = read(LINE * 50_000 + warning * 5_000 + LINE * 50_000).text
    assert 1 <= text.count("pin_memory") < 200


def test_reading_a_long_stream_needs_little_memory() -> None:
    """Of a stream of 64 MB that is full of errors less than a block's worth is held."""
    blocks = (b"[rank%d]: Error: %065500d\n" % (number % 100, number) for number in range(1000))
    stream = mock.Mock(**{"read.side_effect": itertools.chain(blocks, [b""])})
    tracemalloc.start()
    excerpt = log_excerpt.read(stream)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert excerpt.read > 65_000_000
    assert len(excerpt.text) < log_excerpt.WHOLE
    assert peak < 12_000_000


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("lines", [0, 20_000])
def test_a_log_of_any_encoding_is_read(encoding: str, lines: int) -> None:
    log = (
        f"{FAMOUS}\r\n".replace("'", "\N{RIGHT SINGLE QUOTATION MARK}") + "all is well\r\n" * lines
    )
    assert found(read(log.encode(encoding)).text, EIGHT) == {"accelerate-empty-shard": "yes"}


def test_garbage_is_not_a_bug_and_does_not_crash() -> None:
    answer = explain.explain(read(bytes(range(256)) * 2_000).text, EIGHT)
    assert answer.explanations == ()
    assert not set("\0\x1b\x9b") & set(explain_text.as_text(answer))
