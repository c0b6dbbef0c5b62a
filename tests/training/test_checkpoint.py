"""Checkpoints: complete or skipped, never altered unnoticed, and safe from a full disk."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_training import digest, run

from metalassay.errors import UserError
from metalassay.training import checkpoint


def test_a_damaged_checkpoint_is_reported_and_the_one_before_it_used(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_every=10)
    torn = tmp_path / "step-00000020" / "state.safetensors"
    torn.write_bytes(torn.read_bytes()[:-1])
    messages: list[str] = []
    found = checkpoint.newest(tmp_path, notify=messages.append)
    assert found
    assert found.step == 10
    assert len(messages) == 1
    assert "step-00000020" in messages[0]
    whole = tmp_path / "whole"
    run(whole)
    run(tmp_path, resume=True)
    assert digest(tmp_path) == digest(whole)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "x"}'])
def test_a_damaged_state_is_skipped(tmp_path: Path, damage: str) -> None:
    run(tmp_path, checkpoint_every=10)
    (tmp_path / "step-00000020" / "state.json").write_text(damage, "utf-8")
    found = checkpoint.newest(tmp_path, notify=lambda text: None)
    assert found
    assert found.step == 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_a_full_disk_is_an_error_and_leaves_the_old_checkpoint_unchanged(
    tmp_path: Path,
) -> None:
    run(tmp_path, steps=20, checkpoint_every=10)
    before = {p: p.read_bytes() for p in tmp_path.glob("step-*/*")}
    found = checkpoint.newest(tmp_path)
    assert found
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        later = checkpoint.Checkpoint(30, found.config, found.tensors, found.state)
        with pytest.raises(UserError, match="no room for the checkpoint of step 30") as caught:
            checkpoint.save(tmp_path, later)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--resume" in caught.value.next_step
    assert {p: p.read_bytes() for p in tmp_path.glob("step-*/*")} == before
    assert not list(tmp_path.glob(".step*"))


def test_a_file_named_like_a_checkpoint_is_skipped_and_replaced(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    run(tmp_path, checkpoint_every=10)
    shutil.rmtree(tmp_path / "step-00000020")
    (tmp_path / "step-00000020").write_text("a file", "utf-8")
    messages: list[str] = []
    assert run(tmp_path, resume=True, notify=messages.append).step == 20
    assert any("step-00000020, which is incomplete or damaged" in each for each in messages)
    assert digest(tmp_path) == digest(tmp_path / "whole")


def alter(folder: Path, **changes: Any) -> None:
    """Set keys of a checkpoint's state.json; None removes them."""
    path = folder / "state.json"
    document = {**json.loads(path.read_text("utf-8")), **changes}
    left = {key: value for key, value in document.items() if value is not None}
    path.write_text(json.dumps(left), "utf-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"position": None, "place": 40},
        {"position": 41},
        {"step": 19},
        {"position": None, "state_sha256": None},  # of a version without that digest
    ],
)
def test_an_altered_state_is_skipped(tmp_path: Path, changes: dict[str, Any]) -> None:
    run(tmp_path, checkpoint_every=10)
    run(tmp_path / "whole")
    alter(tmp_path / "step-00000020", **changes)
    assert run(tmp_path, resume=True).step == 20
    assert digest(tmp_path) == digest(tmp_path / "whole")


def test_an_older_checkpoint_without_a_digest_of_the_state_can_be_read(tmp_path: Path) -> None:
    run(tmp_path)
    alter(tmp_path / "step-00000020", state_sha256=None)
    found = checkpoint.newest(tmp_path)
    assert found
    assert found.step == 20
