"""A profile of a workload: its files, its table, and that one which fails says why and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.bench import profiles
from metalassay.bench.suite import Step
from metalassay.report.sections import step_profile


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["train", "infer"])
def test_steps_of_a_workload_are_profiled(tmp_path: Path, mode: str) -> None:
    ticks: list[int] = []
    folder = tmp_path / "new"
    done = profiles.run(Step("cpu", "gpt-tiny", 4, mode), 2, folder, lambda: ticks.append(1))
    assert done.why == ""
    assert sorted(folder.iterdir()) == sorted(done.files)
    assert ticks
    read = step_profile.parse(done.files[0].read_bytes(), "p")
    assert len(read.profile.profiled) == len(read.profile.plain) == 2
    names = {one.name for one in read.profile.operators}
    assert "aten::mm" in names
    assert ("aten::_log_softmax_backward_data" in names) is (mode == "train")
    assert done.lines[0].startswith("where a step goes: 2 profiled steps of ")


@pytest.mark.slow
def test_a_workload_that_cannot_be_built_says_so(tmp_path: Path) -> None:
    done = profiles.run(Step("cpu", "nothing", 4, "train"), 2, tmp_path)
    assert done.files == ()
    assert done.why.startswith("unknown workload 'nothing' (choose one of")


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = profiles.run(Step("cpu", "gpt-tiny", 4, "infer"), 1, tmp_path / "file")
    assert done.files == ()
    assert "cannot write" in done.why
