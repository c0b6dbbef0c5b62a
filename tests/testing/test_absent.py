"""A test that needs a package which is not installed is skipped with that reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.testing import absent

CONFTEST = """
import pytest
from metalassay.testing import absent
absent._STACK = frozenset({"absent-one"})

def pytest_pycollect_makemodule(module_path, parent):
    return absent.Module.from_parent(parent, path=module_path)
"""


def test_the_suite_uses_it() -> None:
    assert "absent.Module" in (Path(__file__).parents[2] / "compat" / "conftest.py").read_text()


def test_a_module_that_imports_what_is_absent_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a="import absent_one\ndef test_it(): pass")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*absent_one is not installed*"])


@pytest.mark.parametrize(
    "line", ["import no_such_module", "import json.nothing", "raise ValueError('x')"]
)
def test_any_other_failure_of_an_import_is_an_error(pytester: pytest.Pytester, line: str) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_a=f"{line}\ndef test_it(): pass")
    pytester.runpytest_inprocess().assert_outcomes(errors=1)


def test_skip_for_returns_where_the_package_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "_STACK", frozenset({"json"}))
    absent.skip_for(ModuleNotFoundError("no", name="json.nothing"))
    absent.skip_for(ModuleNotFoundError("no", name=None))
