"""The machines of .github/runners.toml, and which of them a workflow gets."""

from __future__ import annotations

import ci_runners
import pytest

RUNNERS = ci_runners.read()


def machines(workflow: str, machine: str = "") -> list[str]:
    return [each["machine"] for each in ci_runners.chosen(RUNNERS, workflow, machine)]


def test_the_default_mac_is_macos_15_and_macos_26_has_a_row_of_its_own() -> None:
    assert machines("ci") == ["ubuntu-24.04", "macos-15"]
    assert machines("compat") == ["ubuntu-24.04", "macos-15", "macos-26"]


def test_macos_14_runs_only_where_it_is_asked_for() -> None:
    assert all("macos-14" not in machines(each) for each in ("ci", "compat", "bench", "release"))
    assert machines("ci", "macos-14") == ["macos-14"]


def test_benchmarks_run_on_our_own_macs_alone() -> None:
    chosen = ci_runners.chosen(RUNNERS, "bench", "")
    assert [each["machine"] for each in chosen] == ["mac-m4", "mac-m4-pro"]
    assert all(each["labels"][0] == "self-hosted" for each in chosen)


def test_every_machine_is_known_once_and_its_note_has_a_source() -> None:
    names = [each["machine"] for each in RUNNERS]
    assert len(set(names)) == len(names)
    for each in RUNNERS:
        assert each["system"] in ci_runners.SYSTEMS
        assert each["labels"]
        assert ("note" in each) == ("source" in each)


def test_an_unknown_machine_is_one_line() -> None:
    with pytest.raises(SystemExit, match=r"no machine 'macos-99' in runners\.toml; one of: ubuntu"):
        ci_runners.chosen(RUNNERS, "ci", "macos-99")
