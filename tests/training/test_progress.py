"""The progress of a run as a status line, as JSON, or not at all."""

from __future__ import annotations

import json
import time

import pytest

from metalassay.machine import gpu_load
from metalassay.training import progress
from metalassay.training.loop import Progress
from metalassay.training.progress import Display, format_line

AT = Progress(10, 40, 2.5, 1e-3, 1.0, 123.4, {"validation_loss": 2.25})


def test_json_is_one_complete_line_per_report(
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


def test_the_bar_shows_loss_speed_cpu_memory_and_remaining_time(
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
        "paused",
        "CPU ",
        "memory ",
        "<",
        "validation loss 2.25",
    ):
        assert part in err


def test_a_pause_is_shown_instead_of_a_speed() -> None:
    assert "123 curves/s" in format_line(AT, "curves", 0.5, 0.25, 0, 1, None)
    assert format_line(
        Progress(1, 2, 1.0, 0.1, 1.0, None), "curves", 0.5, 0.25, 61, 3601, None
    ) == ("1/2 [1:01<1:00:01] loss 1.0000, paused, CPU 50%, memory 75%")


def test_the_gpu_is_shown_where_it_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "CPU 50%, GPU 87%, memory 75%" in format_line(AT, "c", 0.5, 0.25, 0, 1, None, 87.0)
    monkeypatch.setattr(gpu_load, "read", lambda: 87.0)
    with Display("json", 40, "curves", gpu=True) as display:
        deadline = time.monotonic() + 10
        while display._gpu and display._gpu.latest is None and time.monotonic() < deadline:
            time.sleep(0.01)
        display.show(AT)
    assert json.loads(capsys.readouterr().out)["gpu"] == 0.87
    with Display("json", 40, "curves") as display:  # a training on the CPU
        display.show(AT)
    assert "gpu" not in json.loads(capsys.readouterr().out)


LONG = Progress(12000, 12000, 10.5, 1e-3, 1.0, 123456.7)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            117,
            f"100%|{33 * '#'}| 12000/12000 [0:59<0:00] loss 10.5000, 123,457 tokens/s,"
            " CPU 100%, memory 71%",
        ),
        (75, "12000/12000 [0:59<0:00] loss 10.5000, 123,457 tokens/s, CPU 100%, mem 71%"),
        (57, "12000/12000 loss 10.5000 0:00 left 123k/s CPU 100%"),
        (40, "12000/12000 loss 10.5000 0:00 left"),
        (7, "12000/1"),
    ],
)
def test_a_narrow_terminal_gets_shorter_words_then_fewer_figures(
    width: int, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_block", lambda: "#")
    assert format_line(LONG, "tokens", 1.0, 0.29, 59, 0, width) == line


@pytest.mark.parametrize("at", [AT, LONG])
@pytest.mark.parametrize("left", [None, 0.4, 86400.0])
def test_no_line_is_wider_than_its_terminal_and_80_columns_show_everything(
    at: Progress, left: float | None
) -> None:
    for width in range(1, 200):
        line = format_line(at, "tokens", 1.0, 0.29, 86400, left, width)
        assert 0 < len(line) <= width
        if width >= 77:
            assert all(each in line for each in ("loss ", "/s", "CPU 100%", "mem", "71%"))


def test_json_has_the_remaining_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Display("json", 40, "curves") as display:
        for step in (10, 20, 30):
            display.show(Progress(step, 40, 2.5, 1e-3, 1.0, None))
            now[0] += 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seconds_left"] for line in lines] == [None, 8, 4]
