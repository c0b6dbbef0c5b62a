"""Finding the releases at which a bug appears or disappears, with few runs."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.diagnosis import bisect

TEXT = """
[[bug]]
id = "one"
title = "One"
link = "https://example.org/1"
where = [{ liba = ">=1.0,<2.0" }, { liba = ">=2.0", libb = "<1.0" }]
cause = "x"
fixes = ["upgrade"]
[[bug.symptom]]
id = "crash"
raises = "ValueError"
match = "no"
"""

RELEASES = [f"1.{minor}.0" for minor in range(16)]


def found(
    broken: set[str], untestable: Collection[str] = (), probes: Sequence[str] = ()
) -> tuple[list[tuple[str, str]], list[str]]:
    """Search with a substitute for running a release; return the boundaries and the releases run."""
    asked: list[str] = []

    def state(release: str) -> str:
        asked.append(release)
        if release in untestable:
            return bisect.UNKNOWN
        return bisect.BROKEN if release in broken else bisect.HEALTHY

    states = bisect.search(RELEASES, state, probes)
    return [(each.before, each.after) for each in bisect.boundaries(RELEASES, states)], asked


def test_one_boundary_is_found_in_logarithmic_time() -> None:
    pairs, asked = found(set(RELEASES[:9]))
    assert pairs == [("1.8.0", "1.9.0")]
    assert len(asked) == len(set(asked)) <= 6


def test_a_bug_with_two_ends_is_found_when_a_probe_lies_inside() -> None:
    assert found({"1.8.0"}, probes=["1.8.0"])[0] == [("1.7.0", "1.8.0"), ("1.8.0", "1.9.0")]
    assert found({"1.8.0"})[0] == [], "without a probe nothing points there"


def test_releases_that_cannot_be_tested_are_skipped() -> None:
    pairs, _ = found(set(RELEASES[:9]), untestable={"1.0.0", "1.7.0", "1.9.0", "1.10.0"})
    assert pairs == [("1.8.0", "1.11.0")]


def test_releases_in_the_same_state_have_no_boundary() -> None:
    assert found(set()) == ([], [RELEASES[0], RELEASES[-1]])


def test_states_that_contradict_the_catalogue_are_reported() -> None:
    (bug,) = bugs.parse(TEXT)  # liba >=1.0,<2.0, or liba >=2.0 with libb <1.0
    states = {"1.9": "broken", "2.0": "broken", "2.1": "not tested", "3.0": "healthy"}
    assert bisect.contradictions(bug, "liba", {}, states) == (
        "liba 2.0: expected healthy by the catalogue, but it was broken",
    )
    assert bisect.contradictions(bug, "liba", {"libb": "0.9"}, states) == (
        "liba 3.0: expected broken by the catalogue, but it was healthy",
    )


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([("stock", "s", "xfailed")], "broken"),
        ([("stock", "s", "failed")], "broken"),
        ([("stock", "s", "xpassed")], "healthy"),
        ([("stock", "s", "passed"), ("stock", "s", "skipped")], "healthy"),
        ([("stock", "s", "unseen")], "not tested"),
        ([("stock", "s", "skipped")], "not tested"),
        ([("patched", "s", "failed"), ("stock", None, "failed")], "not tested"),
        ([], "not tested"),
    ],
)
def test_only_stock_tests_of_symptoms_decide_the_state(
    outcomes: list[tuple[str, str | None, str]], state: str
) -> None:
    tests = [
        {"upstream": upstream, "symptom": symptom, "outcome": outcome}
        for upstream, symptom, outcome in outcomes
    ]
    assert bisect.state_of([{"tests": tests}]) == state


@pytest.mark.parametrize(
    ("body", "state"), [("pass", bisect.HEALTHY), ("raise OSError", bisect.BROKEN)]
)
def test_a_release_is_judged_by_a_real_run_of_the_tests_of_one_bug(
    body: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    (tmp_path / "compat").mkdir()
    shutil.copy(root / "compat" / "conftest.py", tmp_path / "compat")
    shutil.copy(root / "matrix.toml", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    bug: x\n    slow: x\n")
    mark = 'pytest.mark.bug("accelerate-n-shard-typo", symptom="attribute")'
    test = f"import pytest\n\n@{mark}\ndef test_one(upstream):\n    {body}\n"
    (tmp_path / "compat" / "test_one.py").write_text(test)
    monkeypatch.setattr(bisect, "_install", lambda *_: True)
    bug, here = bugs.get("accelerate-n-shard-typo"), metadata.version("metalassay")
    assert bisect.run_release(tmp_path, bug, "metalassay", here) == state
    assert bisect.run_release(tmp_path, bug, "metalassay", "0.0.0") == bisect.UNKNOWN
