"""docs/results: every file there is accepted by the command that contributors run, and the page is theirs."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import bench_files
import pytest

from metalassay.bench import acceptance

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "results"
FILES = sorted(FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "tools/results_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_result_is_accepted() -> None:
    refused = {
        path.name: [str(one) for one in acceptance.check(path.read_bytes()) if not one.warning]
        for path in FILES
    }
    assert {name: problems for name, problems in refused.items() if problems} == {}


def test_the_folder_holds_results_and_their_page_alone() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *(p.name for p in FILES)}


def test_the_table_is_that_of_the_files(tool: ModuleType) -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    assert tool.page(text, FOLDER) == text, "run: python tools/results_table.py"


def test_a_file_has_a_row_for_each_measurement_with_a_link(
    tool: ModuleType, tmp_path: Path
) -> None:
    assert tool.table(tmp_path) == tool.NONE
    (tmp_path / "metalassay-x.json").write_text(json.dumps(bench_files.document()))
    later = bench_files.document()
    later["datetime"] = datetime(2026, 12, 1, tzinfo=UTC).isoformat()
    (tmp_path / "metalassay-y.json").write_text(json.dumps(later))
    _, _, *rows = tool.table(tmp_path).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert len(cells) == 8  # a later run replaces no earlier one
    assert cells[0][:7] == [
        "Apple M4 (10-core GPU, 16 GB)", "macOS 15.1", "2.13.0", "transit-cnn", "training", "mps", "64",
    ]  # fmt: skip
    assert cells[0][7] == "3,200 samples/s"
    assert cells[0][9:] == ["2026-11-28", "[metalassay-x.json](metalassay-x.json)"]
    assert [row[5] for row in cells[:4]] == ["mps", "mps", "cpu", "cpu"]


def test_the_check_sees_a_cell_that_somebody_edited(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "metalassay-x.json").write_text(json.dumps(bench_files.document()))
    readme = tmp_path / "README.md"
    readme.write_text(f"# R\n\n{tool.BEGIN}\n{tool.END}\n")
    monkeypatch.setattr("sys.argv", ["results_table.py"])
    assert tool.main(tmp_path) == 0
    monkeypatch.setattr("sys.argv", ["results_table.py", "--check"])
    assert tool.main(tmp_path) == 0
    readme.write_text(readme.read_text("utf-8").replace("3,200", "9,200"), "utf-8")
    assert tool.main(tmp_path) == 1
