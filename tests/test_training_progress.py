"""What a run shows, and the monitor's log."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from metalassay.training import machine_load
from metalassay.training.loop import Progress
from metalassay.training.machine_load import CpuClock
from metalassay.training.progress import Display, Monitor, line_of

AT = Progress(10, 40, 2.5, 1e-3, 1.0, 123.4, {"validation_loss": 2.25})


def test_json_is_one_line_a_report_with_all_that_is_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display("json", 40, "curves") as display:
        display.show(AT)
    out = capsys.readouterr().out
    line = json.loads(out)
    assert out.count("\n") == 1
    assert (line["step"], line["loss"], line["speed"], line["unit"]) == (10, 2.5, 123.4, "curves")
    assert line["figures"] == {"validation_loss": 2.25}
    assert 0 <= line["cpu"] <= 1.1
    assert 0 < line["memory_free"] < 1


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("quiet", 40, "curves") as display:
        display.show(AT)
    assert capsys.readouterr() == ("", "")


def test_the_bar_shows_loss_speed_cpu_memory_and_what_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Display("bar", 40, "curves") as display:
        display.show(AT)
        display.show(Progress(20, 40, 2.0, 1e-3, 1.0, None))
    out, err = capsys.readouterr()
    assert out == ""
    for part in (
        "20/40",
        "loss 2.0000",
        "governed",
        "CPU ",
        "memory ",
        "<",
        "validation loss 2.25",
    ):
        assert part in err


def test_a_speed_held_back_is_not_called_one() -> None:
    assert "123 curves/s" in line_of(AT, "curves", 0.5, 0.25)
    assert line_of(Progress(1, 2, 1.0, 0.1, 1.0, None), "curves", 0.5, 0.25) == (
        "loss 1.0000, governed, CPU 50%, memory 75%"
    )


def test_the_monitor_logs_time_cpu_and_free_memory(tmp_path: Path) -> None:
    path = tmp_path / "run" / "monitor.jsonl"
    with Monitor(path, 0.05, lambda: {"paused": 1.5}):
        until = time.monotonic() + 20
        while time.monotonic() < until and (
            not path.exists() or path.read_text("utf-8").count("\n") < 3
        ):
            time.sleep(0.02)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(lines) >= 3
    assert set(lines[0]) == {"timestamp", "cpu", "machine_cpu", "memory_free", "paused"}
    assert lines[0]["timestamp"] == pytest.approx(time.time(), abs=60)
    assert 0 < lines[0]["memory_free"] < 100


def test_the_share_of_the_machine_is_cpu_time_over_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, used = [10.0], [1.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(CpuClock, "seconds", lambda clock: used[0])
    monkeypatch.setattr(machine_load, "cores", lambda: 4)
    clock = CpuClock()
    now[0], used[0] = 12.0, 5.0
    assert clock.share() == pytest.approx(0.5)
