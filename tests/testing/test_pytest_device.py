"""The option --device, the marks and the header, in a run of their own."""

from __future__ import annotations

import pytest

PLUGIN = "metalassay.testing.pytest_device"


def test_the_device_is_the_one_that_is_named(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(device): assert device.type == 'cpu'")
    result = pytester.runpytest_subprocess("-p", PLUGIN, "--device=cpu", "--strict-markers")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*metalassay *"])


def test_a_device_that_is_not_there_ends_the_run_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(device): pass")
    result = pytester.runpytest_subprocess("-p", PLUGIN, "--device=mps")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--device: " in result.stdout.str() + result.stderr.str()


def test_the_marks_are_declared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.slow\n@pytest.mark.mps\n@pytest.mark.long\n@pytest.mark.bug('x')\ndef test_it(): pass"
    )
    pytester.runpytest_subprocess("-p", PLUGIN, "--strict-markers").assert_outcomes(passed=1)
