"""Checkpoints: complete or skipped, never altered unnoticed, and safe from a full disk."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
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
        {"state_sha256": None},
        {"position": None, "state_sha256": None},
    ],
)
def test_an_altered_state_is_skipped(tmp_path: Path, changes: dict[str, Any]) -> None:
    run(tmp_path, checkpoint_every=10)
    run(tmp_path / "whole")
    alter(tmp_path / "step-00000020", **changes)
    found = checkpoint.newest(tmp_path, notify=lambda text: None)
    assert found
    assert found.step == 10
    assert run(tmp_path, resume=True).step == 20
    assert digest(tmp_path) == digest(tmp_path / "whole")


SCALER = {
    "scale": 65536.0,
    "growth_factor": 2.0,
    "backoff_factor": 0.5,
    "growth_interval": 2000,
    "_growth_tracker": 0,
}
# Values that no run writes, by key. Each is signed again, as somebody would who knows the format.
WRONG: dict[str, list[Any]] = {
    "state_sha256": [None],
    "step": [None, True, 20.0, "20", -20, 19, [20], 10**30],
    "updates": [None, True, -1, 21, 1.5, "1"],
    "threads": [None, True, 0, -1, 2**40, "2"],
    "scaler": [
        *(None, [], 1, {"scale": 1}, {**SCALER, "scale": float("inf")}),
        *({**SCALER, key: value} for key in SCALER for value in (-1, True, "1")),
    ],
    "versions": [None, [], {"torch": 2}, {"torch": None}],
    "device": [None, 1, ""],
    "config": [None, [], "x"],
    "tensors_sha256": [None, 1, "0" * 64],
    "config_hash": [None, 1, "0" * 16],
    "schema": [None, 1, [], "metalassay.checkpoint/2"],
    "position": [None],
}


@pytest.mark.parametrize(("key", "value"), [(key, each) for key in WRONG for each in WRONG[key]])
def test_a_value_that_no_run_writes_is_refused_although_it_is_signed(
    tmp_path: Path, key: str, value: Any
) -> None:
    run(tmp_path, checkpoint_every=10)
    folder = tmp_path / "step-00000020"
    alter(folder, **{key: value})
    if key != "state_sha256":
        sign(folder)
    messages: list[str] = []
    found = checkpoint.newest(tmp_path, notify=messages.append)
    assert found
    assert found.step == 10
    assert len(messages) == 1
    assert "\n" not in messages[0]
    assert key in messages[0] or "altered" in messages[0]


def sign(folder: Path) -> None:
    """Write the digest of a state.json that was altered."""
    document = json.loads((folder / "state.json").read_text("utf-8"))
    document.pop("state_sha256", None)
    alter(folder, state_sha256=checkpoint._digest(document))


def test_a_scaler_that_was_used_is_accepted(tmp_path: Path) -> None:
    run(tmp_path)
    alter(tmp_path / "step-00000020", scaler=SCALER)
    sign(tmp_path / "step-00000020")
    found = checkpoint.newest(tmp_path)
    assert found
    assert found.state["scaler"] == SCALER


def test_a_checkpoint_under_the_name_of_another_step_is_skipped(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_every=10)
    (tmp_path / "step-00000020").rename(tmp_path / "step-00000030")
    found = checkpoint.newest(tmp_path, notify=lambda text: None)
    assert found
    assert found.step == 10


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("model.0.weight", None, "does not fit this run: it has no tensor 'model.0.weight'"),
        (
            "model.0.weight",
            torch.zeros(1),
            r"model.0.weight is float32 \[1\], and should be float32",
        ),
        ("optimizer.mean", torch.zeros(1), "optimizer.mean is float32"),
        ("model.0.bias", torch.zeros(8, dtype=torch.float64), "is float64"),
        ("random.cpu", torch.zeros(3, dtype=torch.uint8), "does not fit this run: "),
        ("random.cpu", torch.zeros(3), "does not fit this run: "),
    ],
)
def test_tensors_of_another_run_are_the_users_error(
    tmp_path: Path, name: str, tensor: torch.Tensor | None, message: str
) -> None:
    run(tmp_path, checkpoint_every=10)
    found = checkpoint.newest(tmp_path)
    assert found
    others = {key: value for key, value in found.tensors.items() if key != name}
    if tensor is not None:
        others[name] = tensor
    checkpoint.save(tmp_path, replace(found, tensors=others))
    with pytest.raises(UserError, match=message):
        run(tmp_path, resume=True)


def test_no_damage_of_its_files_lets_a_run_end_otherwise(tmp_path: Path) -> None:
    """Bytes of the newest checkpoint are changed at random: it is skipped, and the end is the same."""
    run(tmp_path / "whole")
    run(tmp_path / "run", checkpoint_every=10)
    newest = tmp_path / "run" / "step-00000020"
    whole = {path: path.read_bytes() for path in newest.iterdir()}
    for seed in range(120):
        draw = random.Random(seed)
        path = draw.choice(sorted(whole))
        path.write_bytes(damaged(draw, whole[path]))
        messages: list[str] = []
        found = checkpoint.newest(tmp_path / "run", notify=messages.append)
        assert found, seed
        same = path.name == "state.json" and found.step == 20  # white space or an equal spelling
        if same:
            parsed = json.loads(path.read_text("utf-8")), json.loads(whole[path])
            assert parsed[0] == parsed[1], seed
        else:
            assert (found.step, len(messages)) == (10, 1), seed
        path.write_bytes(whole[path])
    (newest / "state.json").unlink()
    run(tmp_path / "run", resume=True)
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


def damaged(draw: random.Random, content: bytes) -> bytes:
    at = draw.randrange(len(content))
    return draw.choice(
        (
            content[:at] + bytes([content[at] ^ (1 << draw.randrange(8))]) + content[at + 1 :],
            content[:at],
            content[:at] + content[at + draw.randrange(1, 50) :],
            content[:at]
            + draw.choice((b"\xff", b"[" * 200_000, b"1" * 5000, b"\0"))
            + content[at:],
            b"",
        )
    )


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_what_is_not_a_regular_file_is_skipped_and_not_waited_for(
    tmp_path: Path, name: str
) -> None:
    run(tmp_path, checkpoint_every=10)
    path = tmp_path / "step-00000020" / name
    for kind in ("folder", "pipe", "device"):
        path.rmdir() if path.is_dir() else path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        found = checkpoint.newest(tmp_path, notify=lambda text: None)
        assert found
        assert found.step == 10
