"""The folder of one training: what is resumed, what is refused, and what a killed process left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.training.rlhf import stage

SETTINGS = {"steps": 6, "seed": 0}


def begun(folder: Path, *complete: int, torn: int | None = None) -> None:
    (folder / stage.SETTINGS).write_text(json.dumps(SETTINGS), "utf-8")
    for step in (*complete, *([] if torn is None else [torn])):
        (folder / f"checkpoint-{step}").mkdir()
    for step in complete:
        (folder / f"checkpoint-{step}" / stage.COMPLETE).touch()


def test_the_newest_complete_checkpoint_is_resumed_and_a_torn_one_removed(tmp_path: Path) -> None:
    begun(tmp_path, 4, 10, torn=12)
    assert stage._prepare(tmp_path, SETTINGS, resume=True) is None
    assert stage.newest_checkpoint(tmp_path) == (10, tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-12").exists()


def test_a_run_that_ended_is_not_run_again(tmp_path: Path) -> None:
    begun(tmp_path, 6)
    (tmp_path / "result.json").write_text('{"steps": 6}', "utf-8")
    assert stage._prepare(tmp_path, SETTINGS, resume=True) == {"steps": 6}


@pytest.mark.parametrize(
    ("checkpoints", "resume", "settings", "says"),
    [
        ((2,), False, SETTINGS, "already holds a run"),
        ((), True, SETTINGS, "it has no checkpoint"),
        ((2,), True, {**SETTINGS, "seed": 1}, "was made with seed 0, not 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    checkpoints: tuple[int, ...],
    resume: bool,
    settings: dict[str, int],
    says: str,
    tmp_path: Path,
) -> None:
    begun(tmp_path, *checkpoints)
    with pytest.raises(UserError, match=says):
        stage._prepare(tmp_path, settings, resume)
