"""What is said after a run about the tests that compute on MPS."""

from __future__ import annotations

import pytest

PLUGIN = "metalassay.testing.pytest_device"
SUITE = """
import pytest
pytestmark = pytest.mark.mps

def test_passes(): pass
def test_fails(): assert False
@pytest.mark.xfail
def test_known(): assert False
def test_old(): pytest.skip("needs macOS 15")
@pytest.mark.skip(reason="masked by another bug")
def test_masked(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_never_begins(broken): pass
@pytest.mark.long
def test_long(): pass
"""


def said(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    result = pytester.runpytest_subprocess("-p", PLUGIN, *arguments)
    return [line for line in result.outlines if line.startswith("mps: ")]


def test_the_line_counts_what_ran_and_names_the_reasons_of_the_rest(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(SUITE)
    assert said(pytester, "-m", "mps and not long") == [
        "mps: 3 tests ran on MPS, 4 did not: takes minutes or gigabytes (1), needs macOS 15 (1),"
        " masked by another bug (1), an error before it began (1)"
    ]


def test_where_nothing_can_run_on_mps_the_line_says_so(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.mps\ndef test_it(): pytest.skip('this is Linux')"
    )
    assert said(pytester) == ["mps: no tests ran on MPS, 1 did not: this is Linux (1)"]


def test_there_is_no_line_where_no_such_test_was_to_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE + "\n@pytest.mark.slow\ndef test_other(): pass\n")
    assert said(pytester, "-m", "not mps") == []
