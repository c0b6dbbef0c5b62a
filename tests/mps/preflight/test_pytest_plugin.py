"""``pytest --mps-preflight`` in a project's own tests."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_the_plugin_reports_what_the_tests_would_meet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest, torch

        @pytest.fixture
        def rows():
            return torch.ones(3, 3)

        def test_mode(rows):
            assert rows.mode()
        """
    )
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight=2.5"
    )
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(
        ["*preflight for MPS*", "On MPS with torch 2.5.1: 1 operator would fail.", "*in test_mode"]
    )


def test_an_unknown_torch_version_is_a_usage_error(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight=9.9"
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*the operators of torch 9.9 are not known*"])


@pytest.mark.slow
def test_tests_without_an_operator_are_not_called_fine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight"
    )
    done.stdout.fnmatch_lines(["the tests called no torch operator in this process"])


@pytest.mark.slow
def test_the_workers_of_xdist_hand_over_what_they_recorded(pytester: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    pytester.makepyfile(
        "import pytest, torch\n"
        "@pytest.mark.parametrize('n', range(4))\n"
        "def test_mode(n): assert torch.ones(3).mode()\n"
    )
    done = pytester.runpytest_subprocess(
        "-p", "metalassay.mps.preflight.pytest_plugin", "--mps-preflight=2.13", "-n", "2"
    )
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["Recorded too: 2 processes *", "*  mode  4 calls;*"])
