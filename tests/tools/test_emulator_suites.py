"""The table of docs/emulator.md has the runs that were recorded, at the commits of the data, each difference explained."""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path
from typing import Any

import emulator_suites
import pytest

RECORDS = json.loads(emulator_suites.RECORD.read_text("utf-8"))
SUITES = emulator_suites.suites()


def test_every_suite_was_run_as_the_data_says() -> None:
    wanted = [(one["name"], one["commit"], one.get("tests") or one["programs"]) for one in SUITES]
    assert [(each["name"], each["commit"], each["command"]) for each in RECORDS] == wanted
    assert all(re.fullmatch("[0-9a-f]{40}", each["commit"]) for each in RECORDS)
    for each in RECORDS:
        assert each["cpu"]["passed"] > 0
        assert each["mps"]["passed"] > 0


def test_every_difference_has_a_reason_and_every_reason_a_difference() -> None:
    for suite, record in zip(SUITES, RECORDS, strict=True):
        used = {one["reason"] for one in record["differences"]}
        assert used == set(range(len(suite.get("difference", ()))))
        for known in suite.get("difference", ()):
            assert known["kind"] in {"MPS", "emulator"}
            assert len(known["reason"]) > 40


def test_the_table_is_that_of_the_records() -> None:
    text = emulator_suites.PAGE.read_text("utf-8")
    command = "python tools/emulator_suites.py --table"
    assert emulator_suites.page(text, RECORDS) == text, f"run: {command}"


def test_a_page_without_markers_is_one_line() -> None:
    with pytest.raises(SystemExit, match="markers of the table are missing"):
        emulator_suites.page("", [])


REPORT = """<testsuites><testsuite>
<testcase classname="a" name="fine"/>
<testcase classname="a" name="bad"><failure message="one&#10;two">text</failure></testcase>
<testcase classname="a" name="bad"><error message="in teardown"/></testcase>
<testcase classname="a" name="broken"/>
<testcase classname="a" name="broken"><error message="in teardown"/></testcase>
<testcase classname="a" name="left"><skipped message="why"/></testcase>
</testsuite></testsuites>"""


def test_outcomes_are_those_of_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    found = emulator_suites.outcomes(report)
    assert found == {
        "a::fine": ["passed", ""],
        "a::bad": ["failed", "one"],
        "a::broken": ["error", "in teardown"],
        "a::left": ["skipped", "why"],
    }
    assert emulator_suites.counts(found) == {"passed": 1, "failed": 1, "error": 1, "skipped": 1}


def suite(*known: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a suite of tests with reasons for differences."""
    return {"name": "example", "tests": [], "difference": list(known), **fields}


DOUBLE = {"tests": "::a", "cpu": "passed", "mps": "failed", "kind": "MPS", "reason": "no float64"}


def test_a_difference_with_a_reason_is_recorded() -> None:
    on_cpu = {"x::a": ["passed", ""], "x::b": ["failed", "in words"]}
    on_mps = {"x::a": ["failed", "TypeError"], "x::b": ["failed", "in others"]}
    assert emulator_suites.compare(suite(DOUBLE), on_cpu, on_mps) == [
        {"test": "x::a", "cpu": on_cpu["x::a"], "mps": on_mps["x::a"], "reason": 0}
    ]


def test_a_difference_without_a_reason_is_an_error() -> None:
    on_cpu, on_mps = {"x::b": ["passed", ""]}, {"x::b": ["failed", "TypeError"]}
    with pytest.raises(SystemExit, match=r"x::b: cpu \['passed', ''\], mps \['failed'"):
        emulator_suites.compare(suite(), on_cpu, on_mps)
    with pytest.raises(SystemExit, match=r"x::b: cpu .*, mps .'not run'"):
        emulator_suites.compare(suite(), on_cpu, {})


def test_a_reason_without_a_difference_is_an_error() -> None:
    same = {"x::a": ["passed", ""]}
    with pytest.raises(SystemExit, match="the difference '::a' is none"):
        emulator_suites.compare(suite(DOUBLE), same, same)


def test_programs_are_compared_by_their_figures_too() -> None:
    programs = {"name": "example", "programs": ["python a.py"]}
    on_cpu, on_mps = ({"python a.py": ["passed", f"loss {loss}"]} for loss in (1, 2))
    assert emulator_suites.compare(programs, on_cpu, on_cpu) == []
    with pytest.raises(SystemExit, match="loss 2"):
        emulator_suites.compare(programs, on_cpu, on_mps)


def test_a_program_is_run_with_its_variables_and_its_figures_are_kept(tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    code = "import os; print('noise'); print('loss', os.environ['WHERE']); raise SystemExit(3)"
    (tmp_path / "checkout" / "a.py").write_text(code)
    programs = {
        "name": "example",
        "programs": ["python a.py"],
        "figures": "loss .*",
        "environment": {"WHERE": "{device}"},
        "limit": 60,
    }
    python = Path(sys.executable)
    found = emulator_suites.run_programs(programs, "cpu", tmp_path / "checkout", python)
    assert found == {"python a.py": ["failed", "loss cpu"]}


def test_the_device_of_the_metrics_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics_device = pytest.importorskip("metrics_device")
    testers: Any = types.ModuleType("unittests._helpers.testers")
    testers._select_rand_best_device = lambda: "cpu"
    monkeypatch.setitem(sys.modules, testers.__name__, testers)
    monkeypatch.setenv("METRICS_DEVICE", "mps")
    session: Any = types.SimpleNamespace(testsfailed=1)
    metrics_device.pytest_collection_finish(session)
    assert testers._select_rand_best_device() == "cpu"  # pytest stops with the errors that it has
    session.testsfailed = 0
    metrics_device.pytest_collection_finish(session)
    assert testers._select_rand_best_device() == "mps"
    del testers._select_rand_best_device
    with pytest.raises(pytest.UsageError, match="torchmetrics has changed it"):
        metrics_device.pytest_collection_finish(session)


def test_a_suite_of_which_nothing_passed_is_an_error() -> None:
    broken = {"x::a": ["error", "ImportError"]}
    with pytest.raises(SystemExit, match="example, cpu: nothing passed"):
        emulator_suites.record(suite(), {"cpu": broken, "mps": broken})


def test_check_writes_no_record_and_a_reason_is_missed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"repository": "a/b", "commit": "0" * 40, "what": "all", "tests": ["x.py"]}
    monkeypatch.setattr(emulator_suites, "suites", lambda: [suite(**known)])
    record, page = tmp_path / "suites.json", tmp_path / "page.md"
    page.write_text(f"{emulator_suites.BEGIN}\n{emulator_suites.END}\n")
    monkeypatch.setattr(emulator_suites, "RECORD", record)
    monkeypatch.setattr(emulator_suites, "PAGE", page)
    (tmp_path / "example").mkdir()
    results: dict[str, Any] = {"versions": {}, "seconds": {}, "cpu": {"x::a": ["passed", ""]}}
    kept = tmp_path / "example" / "results.json"
    arguments = ["--work", str(tmp_path), "--compare"]
    kept.write_text(json.dumps(results | {"mps": results["cpu"]}))
    assert emulator_suites.main([*arguments, "--check"]) == 0
    assert not record.exists()
    assert emulator_suites.main(arguments) == 0
    assert json.loads(record.read_text())[0]["mps"] == {"passed": 1}
    other = {"x::a": ["failed", "why"], "x::b": ["passed", ""]}
    kept.write_text(json.dumps(results | {"mps": other}))
    with pytest.raises(SystemExit, match="x::a: cpu"):
        emulator_suites.main([*arguments, "--check"])


def test_a_mirror_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"repository": "a/b", "commit": "0" * 40}
    monkeypatch.setattr(emulator_suites, "suites", lambda: [suite(**known)])
    monkeypatch.setattr(emulator_suites, "install", lambda *_: Path(sys.executable))
    (tmp_path / "a+b" / "repo").mkdir(parents=True)  # no repository
    monkeypatch.setenv("METALASSAY_MIRRORS", str(tmp_path))
    with pytest.raises(SystemExit, match=r"example: `git ls-tree .* did not end well; next: --w"):
        emulator_suites.main(["--work", str(tmp_path / "work")])
