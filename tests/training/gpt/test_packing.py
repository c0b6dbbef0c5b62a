"""Dialogues become windows: where they begin, their order, any position, and constant memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
import torch
from train_command import marked_jsonl

from metalassay.errors import UserError
from metalassay.training.gpt import packing
from metalassay.training.gpt.dialogues import END, START, Faults
from metalassay.training.gpt.packing import TokenStream


def unmarked(line: str) -> str:
    return line.removeprefix(START).removesuffix(END)


def stream(
    path: Path, strict: bool = False, messages: list[str] | None = None, seed: int = 0
) -> TokenStream:
    """Return batches of 2 windows of 4 tokens, one token per letter."""
    faults = Faults(path, strict, (messages if messages is not None else []).append)

    def encode(line: str) -> list[int]:
        return [ord(each) - 97 for each in unmarked(line)]

    return TokenStream(path, encode, 2, 4, faults, seed)


def letters(rows: torch.Tensor) -> list[str]:
    return ["".join(chr(97 + token) for token in row) for row in rows.tolist()]


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read small files as large ones are read."""
    monkeypatch.setattr(packing, "SHUFFLED", 0)


@pytest.mark.usefixtures("in_order")
def test_a_window_begins_with_a_dialogue_and_targets_are_shifted_by_one(tmp_path: Path) -> None:
    # "abc" and "de" fill a window of 5, "fgh" and "ij" the next; of "klm" and "nopq" the last does
    # not fit, and begins the one after.
    source = stream(marked_jsonl(tmp_path / "a.jsonl", "abc", "de", "fgh", "ij", "klm", "nopq"))
    first, second = source.next(), source.next()
    assert letters(first.inputs[0]) == ["abcd", "fghi"]
    assert letters(first.target) == ["bcde", "ghij"]
    assert letters(second.inputs[0]) == ["klmn", "nopq"]
    assert letters(second.target) == ["lmno", "opqa"]


@pytest.mark.usefixtures("in_order")
def test_a_dialogue_longer_than_a_window_continues_in_the_next(tmp_path: Path) -> None:
    source = stream(marked_jsonl(tmp_path / "a.jsonl", "abcdefghij", "xyz"))
    batches = [source.next() for _ in range(2)]
    targets = [each for batch in batches for each in letters(batch.target)]
    # Every token but the first is a target once, and the next pass begins again.
    assert targets == ["bcde", "fghi", "jxyz", "bcde"]


def test_a_small_file_is_shuffled_in_every_pass(tmp_path: Path) -> None:
    words = [chr(97 + i) * 5 for i in range(10)]
    path = marked_jsonl(tmp_path / "a.jsonl", *words)
    source = stream(path)
    seen = [each[0] for _ in range(10) for each in letters(source.next().inputs[0])]
    passes = ["".join(seen[:10]), "".join(seen[10:])]
    assert [sorted(each) for each in passes] == [sorted("abcdefghij")] * 2
    assert passes[0] != passes[1]
    again, other = stream(path), stream(path, seed=1)
    assert letters(again.next().inputs[0])[0][0] == passes[0][0]
    assert [each[0] for _ in range(5) for each in letters(other.next().inputs[0])] != seen[:10]


@pytest.mark.parametrize("small", [True, False], ids=["small file", "large file"])
def test_a_stream_can_continue_from_any_position(
    tmp_path: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(packing, "SHUFFLED", 0)
    path = marked_jsonl(tmp_path / "a.jsonl", "abcdefg", "hijkl", "mnopqrstuvwxyz", "de")
    with path.open("a", encoding="utf-8") as out:
        out.write("not json\n")
    source = stream(path)
    batches, positions = [], []
    for _ in range(12):  # several passes
        positions.append(json.loads(json.dumps(source.position())))
        batches.append(source.next().inputs[0].tolist())
    for number, position in enumerate(positions):
        other = stream(path)
        other.seek(position)
        assert other.next().inputs[0].tolist() == batches[number]
        for _ in range(6):
            other.next()
        assert other.faults.count == 1


@pytest.mark.parametrize("small", [True, False], ids=["small file", "large file"])
def test_malformed_lines_are_counted_once_and_reported_by_number(
    tmp_path: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(packing, "SHUFFLED", 0)
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"text": "<|im_start|>abcdefghi<|im_end|>"}\nnot json\n\n{"text": 5}\n[]\n{"text": "\xff"}\n{"text": ""}\n{"a": 1}\n'
    )
    messages: list[str] = []
    source = stream(path, messages=messages)
    for _ in range(5):
        source.next()
    assert source.faults.count == 6
    numbers = [line.split("line ")[1].split(":")[0] for line in messages[:5]]
    assert numbers == ["2", "4", "5", "6", "7"]
    assert len(messages) == 6
    assert "not UTF-8" in messages[3]


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_the_largest_and_smallest_seeds_work(tmp_path: Path, seed: int) -> None:
    source = stream(marked_jsonl(tmp_path / "a.jsonl", "abc", "def"), seed=seed)
    assert source.next().target.shape == (2, 4)


def test_strict_stops_at_the_first_malformed_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    marked_jsonl(path, "ab")
    path.write_text(path.read_text("utf-8") + "not json\n", "utf-8")
    with pytest.raises(UserError, match="line 2: not JSON"):
        stream(path, strict=True).next()


@pytest.mark.parametrize("limit", [0, 1000])
def test_a_file_without_dialogues_is_an_error(
    tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "SHUFFLED", limit)
    path = tmp_path / "a.jsonl"
    path.write_text("no\n", "utf-8")
    with pytest.raises(UserError, match="contains no dialogue"):
        stream(path).next()
    with pytest.raises(UserError, match="cannot read"):
        stream(tmp_path / "none").next()


def peak(path: Path) -> int:
    """Return the peak of Python's memory in bytes during a pass over the file."""
    source = TokenStream(path, lambda line: list(line.encode()), 2, 256, Faults(path, True, print))
    source.next()
    tracemalloc.start()
    while source.position()["passes"] == 0:
        source.next()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    # Both larger than what is kept and shuffled; one eight times the other.
    line = json.dumps({"text": f"{START}{'a' * 3000}{END}"}) + "\n"
    files = []
    for count in (800, 6400):
        files.append(tmp_path / f"{count}.jsonl")
        files[-1].write_text(line * count, "utf-8")
    assert files[0].stat().st_size > packing.SHUFFLED
    small, large = map(peak, files)
    assert large < 1.2 * small + 50_000
    assert large < files[0].stat().st_size / 4
