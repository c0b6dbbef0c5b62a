"""The tool that measures reports over many files writes readable files and measures one report."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from metalassay.results import load

TOOL = Path(__file__).parents[2] / "tools" / "report_scale.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_scale", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_its_files_are_read_and_memory_does_not_grow_with_them(
    tool: ModuleType, tmp_path: Path
) -> None:
    in_memory = []
    for number in (700, 1400):
        tool.write_files(tmp_path / str(number), number)
        loaded = load.load([tmp_path / str(number)])
        assert loaded.warnings == ()
        assert loaded.measured == number  # seven files hold seven measurements
        assert sum(group.files for group in loaded.groups) == number
        in_memory.append(len(loaded.measurements) + len(loaded.compat) + len(loaded.groups))
    # Four machines' memories, four torch, two sources, seven measurements; and the verdict files.
    assert in_memory[1] <= 7 * 32 + 3 * 16 + 4 * 4 + 16
    assert in_memory[1] < 1.3 * in_memory[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
def test_it_measures_a_report(tool: ModuleType, tmp_path: Path) -> None:
    tool.write_files(tmp_path / "runs", 20)
    seconds, peak, code = tool.measure(tmp_path / "runs", tmp_path / "out")
    assert code == 0
    assert seconds > 0
    assert peak > 1
