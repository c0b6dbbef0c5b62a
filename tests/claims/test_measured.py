"""Runs are told apart by where they were made, and each has its sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from experiment_files import MAC, SERVER, figures, pretend, ran, record, write

from metalassay.claims import evidence, measured
from metalassay.machine import hardware
from metalassay.results import anonymise

ARMS = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0)
OTHER = replace(MAC, chip="Apple M4 Pro", memory_bytes=24 * 2**30)


def test_this_mac_another_and_none_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, replace(MAC, release="macOS 26.1"))
    here, there = (ran("workers", ARMS, device="cpu", machine=each) for each in (MAC, OTHER))
    found = measured.sort([here, there])
    assert (found.here, found.elsewhere) == ((here,), (there,))
    sentences = [measured.sentence(*each) for each in found.settled("zero-workers")]
    assert sentences == [
        f"decided on this Mac: confirmed ({here.conditions()})",
        f"decided on another Mac: confirmed ({there.conditions()})",
    ]


def test_a_machine_that_is_no_mac_is_said_to_decide_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, SERVER)
    found = measured.sort([ran("workers", ARMS, device="cpu", machine=SERVER)])
    assert found.settled("zero-workers") == []
    ((where, decided),) = found.of("zero-workers")
    assert measured.sentence(where, decided).startswith(
        "measured on this machine, which is not a Mac, so it decides nothing: here it would be confirmed ("
    )


def test_a_run_that_decides_nothing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, MAC)
    arms = figures("num_workers=0", "num_workers=4", "milliseconds a pass", 2.0, control=1.5)
    found = measured.sort([ran("workers", arms, device="cpu")])
    ((where, decided),) = found.of("zero-workers")
    assert measured.sentence(where, decided).startswith(
        "measured on this Mac, not decided: the A/A control"
    )


def test_a_submitted_copy_that_is_shipped_is_shown_with_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a contributor sends after `metalassay submit`, put into the folder of this package."""
    pretend(monkeypatch, SERVER)
    sent = anonymise.strip(json.dumps(record("workers", [ARMS], device="cpu")).encode())
    (tmp_path / evidence.SHIPPED).mkdir()
    (tmp_path / evidence.SHIPPED / "workers-m4.json").write_text(sent.text, "utf-8")
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    ((where, decided),) = measured.load(tmp_path / "none").settled("zero-workers")
    assert (where, decided.word) == (measured.SHIPPED, "confirmed")
    assert decided.run.file == "shipped: workers-m4.json"
    assert measured.sentence(where, decided).startswith(
        "decided by a contributor, on a Mac: confirmed (Apple M4 (4P+6E CPU"
    )


def test_without_runs_the_machine_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hardware, "probe", lambda **_: pytest.fail("asked"))
    assert measured.load(tmp_path) == measured.Measured()


def test_a_folder_is_read_with_its_warnings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretend(monkeypatch, MAC)
    write(tmp_path, record("workers", [ARMS], device="cpu"))
    (tmp_path / "torn.json").write_text("{", "utf-8")
    found = measured.load(tmp_path)
    assert len(found.here) == 1
    assert "torn.json" in found.warnings[0]
