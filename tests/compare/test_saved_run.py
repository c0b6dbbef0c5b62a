"""Saving a comparison and reading it back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from metalassay.compare import saved_run
from metalassay.compare.sampling import Replicate, State
from metalassay.errors import UserError
from metalassay.statistics.decision import Sample

ABOUT = {"a": ["A", "A"], "margin": 0.01}


def saved_state() -> State:
    """Return a state with two replicates and one interim analysis."""
    block = tuple(Sample(arm, wall=0.5 + i, cpu=0.25 + i) for i, arm in enumerate("AaBBaA"))
    replicate = Replicate((block * 2, block), steady=False, page_faults=(1.0, 2.5, 3.0))
    return State(
        steps=3,
        abba_blocks=2,
        replicates=[replicate, replicate],
        analyses=[2],
        facts={"A": {"step": 0.5}},
        seconds=12.5,
        common=0.002,
    )


def test_a_saved_run_is_read_back_unchanged(tmp_path: Path) -> None:
    state = saved_state()
    saved_run.write(tmp_path / "run.jsonl", ABOUT, state)
    assert saved_run.read(tmp_path / "run.jsonl", ABOUT) == state


def test_a_missing_file_is_a_new_run(tmp_path: Path) -> None:
    assert saved_run.read(tmp_path / "none.jsonl", ABOUT) == State()


def test_a_truncated_last_line_is_ignored(tmp_path: Path) -> None:
    state, path = saved_state(), tmp_path / "run.jsonl"
    saved_run.write(path, ABOUT, state)
    path.write_text(path.read_text()[:-20])
    assert saved_run.read(path, ABOUT).replicates == state.replicates


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "nonsense\nnonsense\n", '{"schema": "metalassay.compat/1"}']
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match="not a saved comparison"):
        saved_run.read(path, ABOUT)


def test_a_replicate_without_its_control_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    replicate = {"trio": [[["A", 1, 1], ["B", 1, 1], ["B", 1, 1], ["A", 1, 1]]], "steady": True}
    path.write_text(
        f"{json.dumps({'schema': saved_run.SCHEMA, **ABOUT})}\n{json.dumps(replicate)}\n"
    )
    with pytest.raises(UserError, match="not a saved comparison"):
        saved_run.read(path, ABOUT)


def test_a_run_with_another_margin_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    saved_run.write(path, ABOUT, State())
    with pytest.raises(UserError, match=r"another margin: 0.01, not 0.02"):
        saved_run.read(path, {**ABOUT, "margin": 0.02})


def test_the_keys_of_the_file_are_those_of_the_format(tmp_path: Path) -> None:
    """Files written by earlier versions stay readable."""
    path = tmp_path / "run.jsonl"
    saved_run.write(path, ABOUT, saved_state())
    head, *replicates, totals = map(json.loads, path.read_text("utf-8").splitlines())
    assert head == {"schema": "metalassay.compare/1", **ABOUT}
    assert [set(line) for line in replicates] == [{"trio", "steady", "page_faults"}] * 2
    assert set(totals) == {"steps", "palindromes", "looks", "facts", "seconds", "common"}
    del totals["common"]  # as it was before replicates could have anything in common
    path.write_text("".join(json.dumps(line) + "\n" for line in (head, *replicates, totals)))
    assert saved_run.read(path, ABOUT) == replace(saved_state(), common=0.0)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_timing_that_took_no_time_is_refused(tmp_path: Path, seconds: int) -> None:
    path = tmp_path / "run.jsonl"
    saved_run.write(path, ABOUT, saved_state())
    path.write_text(path.read_text("utf-8").replace("0.25", str(seconds)))
    with pytest.raises(UserError, match="not a saved comparison"):
        saved_run.read(path, ABOUT)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/full", "."])
def test_what_is_no_file_is_refused_and_not_read(place: str) -> None:
    with pytest.raises(UserError, match=r"not a regular file|Is a directory"):
        saved_run.read(Path(place), {})
