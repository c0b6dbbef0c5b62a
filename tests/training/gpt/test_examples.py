"""Examples by number with flat memory, and the batches that are made of them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
import torch

from metalassay.errors import UserError
from metalassay.training.gpt import examples as module
from metalassay.training.gpt.dialogues import Faults
from metalassay.training.gpt.examples import Example, Examples, Row, Shuffled, batches, padded


def read(raw: bytes) -> Example | str:
    """Read a list of numbers: those above 9 are the answer."""
    try:
        tokens = json.loads(raw)
    except ValueError:
        return "not JSON"
    return Example((Row(tokens, [each > 9 for each in tokens]),), tokens[0] == 5)


def examples(path: Path, *lines: str, messages: list[str] | None = None) -> Examples:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return Examples(
        path, read, Faults(path, False, (messages if messages is not None else []).append)
    )


def numbers(path: Path, count: int) -> Examples:
    return examples(path, *(f"[{number}, {number + 10}]" for number in range(count)))


def test_malformed_lines_have_no_number_and_are_reported_once(tmp_path: Path) -> None:
    messages: list[str] = []
    path = tmp_path / "a.jsonl"
    found = examples(path, "[1, 11]", "", "{", "[5, 15]", "[3, 13]", messages=messages)
    assert len(found) == 3
    assert [found[at].rows[0].tokens[0] for at in (2, 0, 1, 2)] == [3, 1, 5, 3]
    assert messages == [f"skipped {path}, line 3: not JSON"]
    assert found.cut == 1
    path.write_text("{\n", "utf-8")
    with pytest.raises(UserError, match=f"{path}, line 1: not JSON"):
        Examples(path, read, Faults(path, True, print))


def test_a_file_without_examples_or_that_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no example") as caught:
        examples(tmp_path / "a.jsonl", "{", "{")
    assert caught.value.next_step == "choose another --data FILE"
    with pytest.raises(UserError, match="cannot read"):
        Examples(tmp_path / "none", read, Faults(tmp_path, False, print), "--test")


def test_a_file_that_changes_during_the_run_is_not_trained_on(tmp_path: Path) -> None:
    found = examples(tmp_path / "a.jsonl", "[1, 11]", "[2, 12]")
    found.path.write_text("[1, 11]\n{broken}\n", "utf-8")
    assert found[0].rows[0].tokens == [1, 11]
    with pytest.raises(UserError, match="has changed since the start, line 2: not JSON"):
        found[1]
    found.path.unlink()
    with pytest.raises(UserError, match="has changed since the start, line 2: No such file"):
        found[1]


def test_every_pass_has_each_example_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    found = numbers(tmp_path / "a.jsonl", 6)

    def passes(seed: int) -> list[list[int]]:
        source = Shuffled(found, 2, 1, seed)
        drawn = [source.next().inputs[0][:, 0].tolist() for _ in range(9)]
        flat = [each for batch in drawn for each in batch]
        return [flat[:6], flat[6:12], flat[12:]]

    assert all(sorted(each) == [*range(6)] for each in passes(0))
    assert len({tuple(each) for each in passes(0)}) == 3
    assert passes(0) == passes(0) != passes(1)
    assert passes(-3) != passes(3)


def test_any_position_can_be_continued_from(tmp_path: Path) -> None:
    found = numbers(tmp_path / "a.jsonl", 5)  # updates of 4 cross the passes
    source = Shuffled(found, 2, 2, 0)
    drawn, positions = [], []
    for _ in range(12):
        positions.append(json.loads(json.dumps(source.position())))
        drawn.append(source.next().inputs[0].tolist())
    for position, batch in zip(positions, drawn, strict=True):
        other = Shuffled(found, 2, 2, 0)
        other.seek(position)
        assert other.next().inputs[0].tolist() == batch


@pytest.mark.parametrize(
    "position", [None, [], {}, {"batches": -1}, {"batches": True}, {"batches": 1.0}]
)
def test_a_position_that_no_run_has_written_is_refused(tmp_path: Path, position: object) -> None:
    source = Shuffled(numbers(tmp_path / "a.jsonl", 5), 2, 1, 0)
    with pytest.raises(ValueError, match="position"):
        source.seek(position)


def test_the_factors_of_the_parts_make_the_mean_over_the_update(tmp_path: Path) -> None:
    lines = ("[1, 11, 12, 13]", "[2, 12]", "[3, 13, 14]", "[4, 14]")
    found = examples(tmp_path / "a.jsonl", *lines)
    for parts in (1, 2, 4):
        source = Shuffled(found, 4 // parts, parts, 7)
        total = 0.0
        for _ in range(parts):
            batch = source.next()
            tokens, answers = batch.inputs
            total += float((tokens * answers).sum() * batch.target) / parts
        assert total == pytest.approx((11 + 12 + 13 + 12 + 13 + 14 + 14) / 7)


def test_rows_are_padded_at_the_end_and_pairs_stand_chosen_first() -> None:
    pairs = [
        Example((Row([1, 2, 3], [False, True, True]), Row([1, 4], [False, True])), False),
        Example((Row([5, 6], [False, True]), Row([5, 7, 8, 9], [False, True, True, True])), False),
    ]
    tokens, answers = padded(pairs)
    assert tokens.tolist() == [[1, 2, 3, 0], [5, 6, 0, 0], [1, 4, 0, 0], [5, 7, 8, 9]]
    assert answers.sum(1).tolist() == [2, 1, 1, 3]
    assert not answers[:, 0].any()


def test_an_evaluation_takes_the_first_examples_and_at_least_one(tmp_path: Path) -> None:
    found = numbers(tmp_path / "a.jsonl", 5)
    taken = [tokens[:, 0].tolist() for tokens, _ in batches(found, 8, 3)]
    assert taken == [[0, 1, 2], [3]]
    assert [tokens[:, 0].tolist() for tokens, _ in batches(found, 1, 3)] == [[0]]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED", 10)
    path = tmp_path / "a.jsonl"
    path.write_text(f"[{', '.join(['11'] * 50_000)}]\n" * 100, "utf-8")  # 20 MB, and 80 as lists
    tracemalloc.start()
    try:
        source = Shuffled(Examples(path, read, Faults(path, False, print)), 1, 1, 0)
        assert torch.equal(source.next().inputs[0], torch.full((1, 50_000), 11))
        assert tracemalloc.get_traced_memory()[1] < 15e6
    finally:
        tracemalloc.stop()
