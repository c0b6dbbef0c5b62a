"""The log of a run: each step once, and only lines that are ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_training import run

from metalassay.errors import UserError
from metalassay.training.loop import Progress
from metalassay.training.run_log import RunLog


@pytest.mark.parametrize("line", [b"{garbage}\n", b"\xff}\n", b'{"step": null}\n', b"{}\n"])
def test_lines_that_are_not_log_entries_are_removed(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'{"step": 2}\n{"step": 3}\n')
    RunLog(path, 2)
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


def test_a_folder_named_like_the_log_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*log\.jsonl"):
        run(tmp_path)


def test_the_log_of_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    def stop(at: Progress) -> None:
        if at.step == 15:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run(tmp_path, report_every=1, checkpoint_every=10, report=stop)
    run(tmp_path, report_every=1, resume=True)
    run(tmp_path / "whole", report_every=1)
    logs = [tmp_path / "log.jsonl", tmp_path / "whole" / "log.jsonl"]
    resumed, whole = (
        [(d["step"], d["loss"]) for d in map(json.loads, p.read_text("utf-8").splitlines())]
        for p in logs
    )
    assert resumed == whole
    assert [step for step, _ in whole] == list(range(1, 21))


def test_a_run_without_reports_leaves_no_log(tmp_path: Path) -> None:
    with RunLog(tmp_path / "log.jsonl", 0):
        pass
    assert not list(tmp_path.iterdir())
