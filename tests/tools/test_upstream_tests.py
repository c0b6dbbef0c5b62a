"""What tools/upstream_tests.py does with two runs of a test suite; it runs none here."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "tools" / "upstream_tests.py"

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest">
<testcase classname="tests.test_a.ATester" name="test_good" time="0.1" />
<testcase classname="tests.test_a.ATester" name="test_bad"><failure message="no">here</failure></testcase>
<testcase classname="tests.test_a.ATester" name="test_left"><skipped type="pytest.skip" message="no GPU"/></testcase>
<testcase classname="tests.test_a.ATester" name="test_setup"><error message="failed on setup"/></testcase>
<testcase classname="tests.test_a.ATester" name="test_end" />
<testcase classname="tests.test_a.ATester" name="test_end"><error message="failed on teardown"/></testcase>
<testcase classname="tests.test_a.ATester" name="test_end" />
</testsuite></testsuites>
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("upstream_tests", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_test_has_one_outcome_and_an_error_is_a_failure(tool: ModuleType) -> None:
    assert tool.outcomes(JUNIT) == {
        "tests.test_a.ATester::test_good": "passed",
        "tests.test_a.ATester::test_bad": "failed",
        "tests.test_a.ATester::test_left": "skipped",
        "tests.test_a.ATester::test_setup": "failed",
        "tests.test_a.ATester::test_end": "failed",
    }


@pytest.mark.parametrize(
    ("patched", "different"),
    [
        ({"a": "passed", "b": "skipped"}, []),
        ({"a": "failed", "b": "skipped"}, [("a", "passed", "failed")]),
        ({"a": "passed", "b": "passed"}, [("b", "skipped", "passed")]),
        ({"a": "passed"}, [("b", "skipped", "not there")]),
        ({"a": "passed", "b": "skipped", "c": "passed"}, [("c", "not there", "passed")]),
    ],
)
def test_a_test_that_is_gone_new_or_ends_differently_is_a_difference(
    tool: ModuleType, patched: dict[str, str], different: list[tuple[str, str, str]]
) -> None:
    found = tool.differences({"a": "passed", "b": "skipped"}, patched)
    assert [tuple(each.values()) for each in found] == different


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_only_the_tests_are_unpacked(tool: ModuleType, tmp_path: Path) -> None:
    names = ("a-1/tests/test_a.py", "a-1/tests/deep/test_b.py", "a-1/src/a.py", "a-1/setup.py")
    tool.unpack_tests(archive(tmp_path / "a.tar.gz", *names), tmp_path / "to")
    files = {str(path.relative_to(tmp_path / "to").as_posix()) for path in tmp_path.rglob("*.py")}
    assert files == {"tests/test_a.py", "tests/deep/test_b.py"}


def test_an_archive_that_reaches_out_of_its_folder_is_refused(
    tool: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(tarfile.FilterError):
        tool.unpack_tests(
            archive(tmp_path / "a.tar.gz", "a-1/tests/../../../evil.py"), tmp_path / "to"
        )
    assert not list(tmp_path.rglob("evil.py"))


def test_an_archive_without_tests_ends_with_that_sentence(tool: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="contains no tests"):
        tool.unpack_tests(archive(tmp_path / "a.tar.gz", "a-1/src/a.py"), tmp_path / "to")
