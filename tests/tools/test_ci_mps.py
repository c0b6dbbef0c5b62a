"""What a runner's MPS is called: tested only where it computes."""

from __future__ import annotations

from dataclasses import replace

import ci_mps
import pytest

from metalassay.mps import probe

FOUND = probe.Probe(probe.USABLE, "as the CPU", "2.14.0", "26.1", None, True, "Apple Paravirtual")


@pytest.mark.parametrize("state", sorted(set(probe.STATES) - {probe.NO_TORCH, probe.UNFINISHED}))
def test_every_state_is_tested_or_says_why_not(state: str) -> None:
    verdict = ci_mps.record("macos-26", replace(FOUND, state=state))["verdict"]
    assert verdict == "tested" if state == probe.USABLE else verdict.startswith("not tested: ")


@pytest.mark.parametrize("state", [probe.NO_TORCH, probe.UNFINISHED])
def test_a_torch_that_cannot_be_asked_is_a_failure_of_the_job(state: str) -> None:
    with pytest.raises(SystemExit, match=state):
        ci_mps.record("macos-26", replace(FOUND, state=state))


def test_the_record_has_the_image_and_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ImageOS", "macos26")
    monkeypatch.setenv("ImageVersion", "20261101.1")
    record = ci_mps.record("macos-26", replace(FOUND, state=probe.DEAD))
    assert record["verdict"] == "not tested: MPS advertised but dead"
    assert (record["image"], record["torch"], record["virtual"]) == (
        "macos26 20261101.1",
        "2.14.0",
        True,
    )


def test_the_table_cannot_be_broken_by_a_reason() -> None:
    record = ci_mps.record("m", replace(FOUND, state=probe.WRONG, reason="a | b\n<script>"))
    row = ci_mps.table([record]).splitlines()[4]
    assert row.count("|") - row.count("\\|") == 7
    assert "<script>" not in row
    assert ci_mps.METAL_4 in ci_mps.table([])
