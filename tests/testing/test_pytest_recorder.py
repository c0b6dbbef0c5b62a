"""`pytest compat` end to end on an invented library: data in, expectations, verdicts out."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metalassay.bugs import catalogue
from metalassay.environment import versions
from metalassay.matrix import matrix_file
from metalassay.results import load

CONFTEST = Path(__file__).parents[2] / "compat" / "conftest.py"
DATA = """
[[bug]]
id = "lib-crash"
title = "It crashes"
link = "https://example.org/1"
where = [{ lib = "<2" }]
cause = "invented"
fixes = ["upgrade"]
patch = "invented"
[[bug.symptom]]
id = "crash"
raises = "ValueError"
match = "known message"
"""
TEST = """
import pytest

@pytest.mark.bug("lib-crash", symptom="crash")
def test_it(upstream):
    BODY
"""
STOCK_CRASHES = "if upstream == 'stock': raise ValueError('the known message')"


@pytest.fixture
def assay(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Any:  # a function: run(body, version, *args) -> (exit code, verdict file or None, output)
    @contextmanager
    def patch() -> Iterator[bool]:
        yield True

    module = types.ModuleType("metalassay.patches.invented")
    module.patch = patch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "metalassay.patches.invented", module)
    known = catalogue.parse(DATA)
    monkeypatch.setattr(catalogue, "load", lambda: known)
    pytester.makeconftest(CONFTEST.read_text("utf-8"))
    pytester.makeini("[pytest]\nmarkers = bug(id, symptom): x\n")

    def run(body: str, version: str, *arguments: str) -> tuple[int, Any, str]:
        monkeypatch.setattr(versions, "installed", lambda *_: {"python": "3.11.7", "lib": version})
        pytester.makepyfile(test_lib=TEST.replace("BODY", body))
        target = pytester.path / "verdict.json"
        result = pytester.runpytest_inprocess(
            "--verdicts", str(target), *arguments, no_reraise_ctrlc=True
        )
        record = json.loads(target.read_text("utf-8")) if target.exists() else None
        return int(result.ret), record, result.stdout.str() + result.stderr.str()

    return run


@pytest.mark.parametrize(
    ("body", "version", "word", "outcome", "green"),
    [
        ("pass", "1.0", "not seen", "unseen", True),
        ("raise ValueError('the known message')", "1.0", "broken as known", "xfailed", True),
        ("raise ValueError('another message')", "1.0", "unexplained", "failed", False),
        ("pass", "2.0", "fine", "passed", True),
        ("raise ValueError('the known message')", "2.0", "unexplained", "failed", False),
    ],
)
def test_a_symptom_that_does_not_show_every_time(
    assay: Any,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    version: str,
    word: str,
    outcome: str,
    green: bool,
) -> None:
    sometimes = DATA.replace('patch = "invented"\n', "") + "intermittent = true\n"
    known = catalogue.parse(sometimes)
    monkeypatch.setattr(catalogue, "load", lambda: known)
    code, record, output = assay(body, version)
    [bug] = record["bugs"]
    assert (bug["verdict"], bug["tests"][0]["outcome"]) == (word, outcome)
    assert (code == 0, "RED" not in output) == (green, green)


@pytest.mark.parametrize(
    ("body", "version", "word", "outcome", "green", "settled"),
    [
        ("pass", "1.0", "not as reported", "refuted", True, "1 not as reported (lib-crash)"),
        (
            *("raise ValueError('the known message')", "1.0", "broken as known", "xfailed", True),
            "1 as reported (lib-crash)",
        ),
        ("raise ValueError('another message')", "1.0", "unexplained", "failed", False, ""),
        ("pass", "2.0", "fine", "passed", True, ""),
        ("raise ValueError('the known message')", "2.0", "unexplained", "failed", False, ""),
        ("pytest.skip('no Mac here')", "1.0", "not tested", "skipped", True, ""),
    ],
)
def test_what_only_a_report_says_is_settled_by_a_run(
    assay: Any,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    version: str,
    word: str,
    outcome: str,
    green: bool,
    settled: str,
) -> None:
    reported = DATA.replace('patch = "invented"\n', "reported_only = true\n")
    known = catalogue.parse(reported)
    monkeypatch.setattr(catalogue, "load", lambda: known)
    code, record, output = assay(body, version)
    [bug] = record["bugs"]
    assert (bug["verdict"], bug["tests"][0]["outcome"]) == (word, outcome)
    assert (code == 0, "RED" not in output) == (green, green)
    assert ("settled 1 open question" in output) is bool(settled)
    assert settled in output
    if settled:
        assert "next: metalassay submit" in output


@pytest.mark.parametrize(
    ("body", "version", "word", "green"),
    [
        ("pass", "2.0", "fine", True),
        (STOCK_CRASHES, "1.0", "patched", True),
        ("raise ValueError('the known message')", "1.0", "patch fails", False),
        ("pass", "1.0", "fixed upstream?", False),
        ("raise ValueError('another message')", "1.0", "unexplained", False),
        ("raise TypeError('the known message')", "1.0", "unexplained", False),
        (STOCK_CRASHES, "2.0", "unexplained", False),
        ("pytest.skip('no Mac here')", "1.0", "not tested", True),
    ],
)
def test_green_exactly_when_the_data_tells_the_truth(
    assay: Any, body: str, version: str, word: str, green: bool
) -> None:
    code, record, output = assay(body, version)
    (bug,) = record["bugs"]
    assert (bug["verdict"], code == 0) == (word, green)
    assert word in output
    assert ("RED" in output) is not green


def test_the_file_has_every_run_and_its_outcome(assay: Any) -> None:
    _, record, _ = assay(STOCK_CRASHES, "1.0")
    assert record["schema"] == "metalassay.compat/1"
    assert record["versions"] == {"python": "3.11.7", "lib": "1.0"}
    assert record["set"]["id"] == "as installed"
    stock, patched = record["bugs"][0]["tests"]
    assert (stock["upstream"], stock["outcome"]) == ("stock", "xfailed")
    assert "ValueError: the known message" in stock["evidence"]
    assert (patched["upstream"], patched["outcome"]) == ("patched", "passed")
    assert record["bugs"][0]["affected"] is True


def test_a_skipped_bug_has_the_reason(assay: Any) -> None:
    _, record, output = assay("pytest.skip('no Mac here')", "1.0")
    assert record["bugs"][0]["why"] == "no Mac here"
    assert "not tested       lib-crash: It crashes (no Mac here)" in output


def test_an_interrupted_run_writes_no_file(assay: Any) -> None:
    code, record, output = assay("raise KeyboardInterrupt", "1.0")
    assert code == 2
    assert record is None
    assert "no verdicts written: the run was interrupted or tested no bug" in output


def test_a_marker_with_an_unknown_symptom_is_a_usage_error(
    assay: Any, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(
        test_typo='import pytest\n@pytest.mark.bug("lib-crash", symptom="smash")\ndef test_x(): pass\n'
    )
    code, _, output = assay("pass", "2.0")
    assert code == 4
    assert "lib-crash has no symptom 'smash'" in output


def test_an_unknown_row_is_a_usage_error(assay: Any) -> None:
    code, _, output = assay("pass", "2.0", "--set", "nonsense")
    assert code == 4
    assert "matrix.toml" in output


SLOW_CRASH = """
import pytest

@pytest.mark.slow
@pytest.mark.bug("lib-crash", symptom="crash")
def test_slow(upstream):
    if upstream == "stock": raise ValueError("the known message")

@pytest.mark.bug("lib-crash")
def test_control():
    pass
"""


def test_an_affected_symptom_that_was_left_out_as_slow_is_not_tested_and_never_fine(
    assay: Any, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    bug(id, symptom): x\n    slow: x\n")
    pytester.makepyfile(test_more=SLOW_CRASH)
    _, record, output = assay("pytest.skip('elsewhere')", "1.0", "-m", "not slow")
    (bug,) = record["bugs"]
    assert bug["verdict"] == "not tested"
    assert bug["why"] == "slow: not in this selection; elsewhere"
    assert "not tested       lib-crash" in output


def test_a_slow_test_of_a_symptom_that_these_versions_lack_leaves_the_bug_fine(
    assay: Any, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\nmarkers =\n    bug(id, symptom): x\n    slow: x\n")
    pytester.makepyfile(test_more=SLOW_CRASH.replace("if upstream", "if False and upstream"))
    _, record, _ = assay("pass", "2.0", "-m", "not slow")
    assert record["bugs"][0]["verdict"] == "fine"
    assert len(record["bugs"][0]["tests"]) == 3  # both runs of test_it, and the control


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-k", "test_it"), "-k"),
        (("-x",), "stopped early"),
        (("--maxfail=1",), "stopped early"),
        (("test_lib.py",), "only some files"),
        (("--deselect", "test_more.py::test_other"), "--deselect"),
        (("--bug", "lib-crash"), "--bug"),
    ],
)
def test_a_partial_run_leaves_the_verdicts_of_the_whole_one(
    assay: Any, pytester: pytest.Pytester, arguments: tuple[str, ...], reason: str
) -> None:
    pytester.makepyfile(test_more="def test_other(): pass")
    body = "raise TypeError" if reason == "stopped early" else "pass"
    _, whole, _ = assay("pass", "2.0")
    text = (pytester.path / "verdict.json").read_text("utf-8")
    _, record, output = assay(body, "2.0", *arguments)
    assert record == whole
    assert (pytester.path / "verdict.json").read_text("utf-8") == text
    assert f"partial run ({reason}): verdicts: " in output
    assert json.loads((pytester.path / "verdict.partial").read_text("utf-8"))["bugs"]
    assert load.load([pytester.path]).compat[0].bugs[0].verdict == "fine"


@pytest.mark.parametrize(("tags", "partial"), [("quick", False), ("full", True)])
def test_only_a_quick_row_is_whole_without_its_slow_tests(
    assay: Any, pytester: pytest.Pytester, tags: str, partial: bool
) -> None:
    row = f'id = "x"\nrequires = ["lib"]\nreason = "r"\ntags = ["{tags}"]\npython = "3.11"\n'
    (pytester.path / "matrix.toml").write_text("[[row]]\n" + row, "utf-8")
    _, record, output = assay("pass", "2.0", "--set", "x", "-m", "not slow")
    assert (record is None) is partial
    assert ("partial run (-m): " in output) is partial
    assert ('next, for the whole of it: nox -s "compat(x)"' in output) is partial


WITH_A_PACKAGE = """
import pytest

@pytest.mark.bug("lib-crash", symptom="crash")
def test_of_the_bug(upstream):
    pass

@pytest.mark.package("lib")
def test_of_the_package():
    pass

@pytest.mark.package("other")
def test_of_another_package():
    pass

def test_of_nothing():
    pass
"""


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["--bug", "lib-crash", "--set", "edge-lib"], ["of_the_bug", "of_the_package"]),
        (["--bug", "lib-crash"], ["of_the_bug"]),
        (["--bug", "lib-crash", "--set", "whole-lib"], ["of_the_bug"]),
        ([], ["of_the_bug", "of_the_package", "of_another_package", "of_nothing"]),
    ],
)
def test_a_row_of_few_bugs_also_runs_what_its_package_is_for(
    assay: Any,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    ran: list[str],
) -> None:
    edge = matrix_file.Row("edge-lib", ("lib==2.0", "./a"), "x", (), bugs=("lib-crash",))
    whole = matrix_file.Row("whole-lib", ("lib==2.0",), "x", ())
    rows = {"edge-lib": edge, "whole-lib": whole, None: matrix_file.AS_INSTALLED}
    monkeypatch.setattr(matrix_file, "get", lambda root, name: rows[name])
    monkeypatch.setattr(sys.modules[__name__], "TEST", WITH_A_PACKAGE)
    pytester.makeini("[pytest]\nmarkers =\n    bug(id, symptom): x\n    package(name): x\n")
    _, _, output = assay("", "2.0", "-v", *arguments)
    assert {f"test_{each}" for each in ran} == set(
        re.findall(r"::(test_\w+)(?:\[\w+\])? (?:PASSED|XPASS)", output)
    )
