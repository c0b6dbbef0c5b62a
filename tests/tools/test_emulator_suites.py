"""The table of docs/emulator.md has the runs that were recorded, at the commits of the data, each difference explained."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import re
import shutil
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


WRITES = """
import pathlib, struct, sys
print("Device:", sys.argv[1])
out = pathlib.Path("out", sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
head = b'{"w":{"dtype":"DTYPE","shape":[2],"data_offsets":[0,8]},"__metadata__":{}}'
numbers = struct.pack("<2f", 0.5, float(sys.argv[3]))
(out / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + numbers)
"""


def writing(tmp_path: Path, *programs: str, dtype: str = "F32") -> dict[str, Any]:
    """Return a suite of programs that name a device and write weights."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(exist_ok=True)
    (checkout / "a.py").write_text(WRITES.replace("DTYPE", dtype))
    return {
        "name": "example",
        "repository": "a/b",
        "commit": "0" * 40,
        "programs": [f"python a.py {one}" for one in programs],
        "figures": "loss .*",
        "weights": "out/*/model.safetensors",
        "alike": "out/[ab]/*",
        "within": 1e-6,
        "devices": r"Device: (\w+)",
        "environment": {},
        "limit": 60,
    }


def test_the_weights_that_a_program_writes_are_kept(tmp_path: Path) -> None:
    suite = writing(tmp_path, "cpu a 1", "cpu b 2")
    (tmp_path / "checkout" / "out" / "c").mkdir(parents=True)
    left = tmp_path / "checkout" / "out" / "c" / "model.safetensors"
    left.write_text("of the run on the other device")
    python = Path(sys.executable)
    found = emulator_suites.run_programs(suite, "cpu", tmp_path / "checkout", python)
    assert found == {
        "python a.py cpu a 1": ["passed", "wrote out/a/model.safetensors"],
        "python a.py cpu b 2": ["passed", "wrote out/b/model.safetensors"],
    }
    assert not left.exists()
    kept = emulator_suites.weights(tmp_path / "written" / "cpu" / "out/b/model.safetensors")
    assert {name: list(values) for name, values in kept.items()} == {"w": [0.5, 2.0]}


def test_weights_that_are_apart_are_an_error(tmp_path: Path) -> None:
    suite, python = writing(tmp_path, "cpu a 1", "cpu b 2"), Path(sys.executable)
    found = emulator_suites.run_programs(suite, "cpu", tmp_path / "checkout", python)
    written = tmp_path / "written"
    shutil.copytree(written / "cpu", written / "mps")
    results = {"versions": {}, "seconds": {}, "cpu": found, "mps": found}
    same = dict.fromkeys(("out/a/model.safetensors", "out/b/model.safetensors"), 0.0)
    assert emulator_suites.weights_apart(written) == same
    assert emulator_suites.record(suite, results | {"weights": same})["weights"] == same
    shutil.copy(written / "cpu/out/a/model.safetensors", written / "mps/out/b/model.safetensors")
    (written / "mps/out/a/model.safetensors").unlink()
    apart = emulator_suites.weights_apart(written)
    assert list(apart.values()) == [math.inf, 1.0]
    with pytest.raises(SystemExit, match=r"`within`\nout/a/model.safetensors: inf\nout/b.*: 1.0"):
        emulator_suites.record(suite, results | {"weights": apart})
    random = suite | {"alike": "out/c/*"}
    assert emulator_suites.record(random, results | {"weights": apart})["weights"] == apart


def test_weights_in_another_dtype_are_one_line(tmp_path: Path) -> None:
    suite, python = writing(tmp_path, "cpu a 1", dtype="BF16"), Path(sys.executable)
    emulator_suites.run_programs(suite, "cpu", tmp_path / "checkout", python)
    with pytest.raises(SystemExit, match="w is BF16, only F32 is compared"):
        emulator_suites.weights(tmp_path / "written/cpu/out/a/model.safetensors")


def test_a_program_that_names_another_device_or_none_is_an_error(tmp_path: Path) -> None:
    suite, python = writing(tmp_path, "cpu a 1", "mps b 2"), Path(sys.executable)
    with pytest.raises(SystemExit, match=r"cpu: the programs name the devices .'cpu', 'mps'"):
        emulator_suites.run_programs(suite, "cpu", tmp_path / "checkout", python)
    silent = writing(tmp_path, "cpu a 1") | {"devices": r"on device (\w+)"}
    with pytest.raises(SystemExit, match=r"the programs name the devices \[\]"):
        emulator_suites.run_programs(silent, "cpu", tmp_path / "checkout", python)


def test_figures_may_be_apart_by_rounding_alone() -> None:
    apart = emulator_suites.numbers_apart
    assert apart("loss: 1.5; {'f1': 0.0}", "loss: 1.5; {'f1': 0.0}") == 0
    assert apart("loss: 0.94518738", "loss: 0.94518733") == pytest.approx(5.3e-8, rel=0.01)
    assert apart("loss: 1e-5", "loss: 2e-05") == 0.5
    assert apart("loss: 0.0", "loss: 0.1") == 1
    assert apart("loss: 1.5", "loss: -1.5") == math.inf
    assert apart("loss: 1.5", "loss: 1.5; loss: 1.5") == math.inf
    programs = {"name": "example", "programs": ["python a.py"], "within": 1e-6}
    on_cpu, close, far = (
        {"python a.py": ["passed", f"loss {loss}"]} for loss in (1, 1.0000001, 1.00001)
    )
    assert emulator_suites.compare(programs, on_cpu, close) == []
    with pytest.raises(SystemExit, match=r"loss 1\.00001"):
        emulator_suites.compare(programs, on_cpu, far)


def test_every_program_is_run_or_left_out_with_a_reason(tmp_path: Path) -> None:
    for name in ("a.py", "b.py", "__init__.py"):
        (tmp_path / name).touch()
    programs = {"name": "example", "programs": ["python a.py -x"], "covers": ["*.py"]}
    with pytest.raises(SystemExit, match=r"b\.py is neither run nor left out"):
        emulator_suites.check_programs(programs, tmp_path)
    reason = {"programs": ["b.py"], "reason": "needs a GPU"}
    emulator_suites.check_programs(programs | {"left_out": [reason]}, tmp_path)
    for name in ("a.py", "c.py"):
        wrong = programs | {"left_out": [reason, {"programs": [name], "reason": "none"}]}
        with pytest.raises(SystemExit, match=f"{name}, left out, is run or not there"):
            emulator_suites.check_programs(wrong, tmp_path)


def test_what_is_left_out_is_named_under_the_table() -> None:
    for suite in SUITES:
        for each in suite.get("left_out", ()):
            assert all(f"`{name}`" in emulator_suites.table(RECORDS) for name in each["programs"])
            assert len(each["reason"]) > 20


def test_the_data_set_has_the_columns_of_the_hub(tmp_path: Path) -> None:
    tiny_hub = pytest.importorskip("tiny_hub")
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text(
            "label,sentence1,sentence2\nequivalent,a,b\nnot_equivalent,c,d\n"
        )
    tiny_hub.glue(tmp_path, tmp_path / "glue")
    with (tmp_path / "glue" / "validation.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert rows[0] == {"sentence1": "a", "sentence2": "b", "label": "1", "idx": "0"}
    assert rows[1] == {"sentence1": "c", "sentence2": "d", "label": "0", "idx": "1"}
    assert "  - split: train\n    path: train.csv" in (tmp_path / "glue" / "README.md").read_text()


def test_a_metric_is_put_where_evaluate_finds_it(tmp_path: Path) -> None:
    tiny_hub = pytest.importorskip("tiny_hub")
    (tmp_path / "metrics" / "glue").mkdir(parents=True)
    (tmp_path / "metrics" / "glue" / "glue.py").write_text("code")
    tiny_hub.metrics(tmp_path / "metrics", tmp_path / "cache")
    digest = hashlib.sha256(b"code").hexdigest()
    place = tmp_path / "cache" / "metrics" / "evaluate-metric--glue" / digest / "glue.py"
    assert place.read_text() == "code"


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
