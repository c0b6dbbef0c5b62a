"""What follows an option of pytest with an optional version: a version, or a path that is tested."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.mps import version_option

PLUGIN = ("-p", "metalassay.mps.preflight.pytest_plugin")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("2.8", True), ("2.8.0.dev1", True), ("9.9", True), ("tests", False), ("a.py::test_x", False),
     ("2/tests", False), ("1_first", False)],
)  # fmt: skip
def test_a_version_begins_with_a_digit_and_is_no_path(
    word: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1_first").mkdir()
    monkeypatch.chdir(tmp_path)
    assert version_option.is_version(word) == expected


@pytest.fixture
def two_folders(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make two folders of tests; the conftest of one has a fixture, and the other one's test fails."""
    for name, test in (("tests", "def test_it(here): pass"), ("other", "def test_it(): assert 0")):
        (pytester.path / name).mkdir()
        (pytester.path / name / f"test_{name}.py").write_text(test)
    (pytester.path / "tests" / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_addoption(parser): parser.addoption('--of-tests', action='store_true')\n"
        "@pytest.fixture\ndef here(pytestconfig): assert pytestconfig.getoption('--of-tests')\n"
    )
    return pytester


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--mps-preflight", "tests", "--of-tests"],
        ["--of-tests", "--mps-preflight", "tests/test_tests.py::test_it"],
        ["--mps-preflight=2.8", "tests", "--of-tests"],
        ["--mps-preflight", "2.8", "tests", "--of-tests"],
        ["tests", "--mps-preflight", "--of-tests"],
    ],
)
def test_a_path_after_the_option_is_tested(two_folders: pytest.Pytester, words: list[str]) -> None:
    done = two_folders.runpytest_subprocess(*PLUGIN, *words)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*preflight for MPS*"])


def test_a_word_that_is_neither_is_refused_as_a_path(two_folders: pytest.Pytester) -> None:
    done = two_folders.runpytest_subprocess(*PLUGIN, "--mps-preflight", "tets")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*file or directory not found: tets"])
