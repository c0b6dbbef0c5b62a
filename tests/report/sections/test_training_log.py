"""Logs of training runs: both kinds of logs, refused files, and the plots."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalassay import report
from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.machine import hardware
from metalassay.report.sections import training_log
from metalassay.report.sections.training_log import Log
from metalassay.results.load import Loaded


def lines(*each: dict[str, Any]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in each).encode()


FIRST = {
    "schema": "metalassay.monitor/1",
    "started": "2026-01-01T00:00:00+00:00",
    "every": 30,
    "versions": {"python": "3.11.7"},
    "hardware": hardware.as_dict(
        hardware.Hardware(
            system="Linux",
            release="6",
            machine="x86_64",
            chip="constructed",
            **dict.fromkeys(
                (
                    *("model", "physical_cores", "performance_cores", "efficiency_cores"),
                    *("logical_cores", "gpu", "gpu_cores", "memory_bytes", "virtual"),
                )
            ),
        )
    ),
}


def watch(at: float, cpu: float, free: float, **more: Any) -> dict[str, Any]:
    return {
        "t": at,
        "time": "2026-01-01T00:00:30+00:00",
        "cpu_percent": cpu,
        "own_cpu_percent": None,
        "memory_free_percent": free,
        "swap_bytes": 0,
        "throttled": False,
        **more,
    }


def step(number: int, loss: float) -> dict[str, Any]:
    return {"step": number, "steps": 100, "loss": loss, "rate": 1e-3, "seconds": 1, "speed": None}


def test_the_log_of_a_monitor_gives_the_load_of_the_machine() -> None:
    found = training_log.parse(lines(FIRST, watch(0, 55, 70), watch(30, 20, 60)), "m")
    assert found.load == ((0, 55, 70), (30, 20, 60))
    assert found.loss == ()


def test_the_log_of_a_run_gives_its_losses() -> None:
    found = training_log.parse(lines(step(10, 2.5), step(20, 1.5)), "r")
    assert found.loss == ((10, 2.5), (20, 1.5))


def test_the_logs_that_training_and_monitor_write_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from dataclasses import asdict

    from metalassay.supervise.monitor import Monitor
    from metalassay.training.loop import Progress
    from metalassay.training.run_log import RunLog

    with RunLog(tmp_path / "log.jsonl", 0) as log:
        log.add(asdict(Progress(5, 10, 1.25, 0.1, 2.0, None)))
    assert training_log.parse((tmp_path / "log.jsonl").read_bytes(), "r").loss == ((5, 1.25),)
    import time

    path = tmp_path / "monitor.jsonl"
    with Monitor(path, 0.01):
        while path.read_bytes().count(b"\n") < 3:
            time.sleep(0.01)
    found = training_log.parse(path.read_bytes(), "m")
    assert found.load[0][0] < found.load[1][0]
    assert 0 < found.load[0][2] <= 100


def test_only_a_last_line_may_be_cut_off() -> None:
    whole = lines(step(1, 1.0), step(2, 0.5))
    assert training_log.parse(whole[:-5], "r").loss == ((1, 1.0),)
    with pytest.raises(FieldError, match="line 1: not JSON"):
        training_log.parse(whole[3:], "r")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no line"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[1]\n", "line 1: expected an object"),
        (lines({"cpu": 1}), "line 1.step is missing"),
        (lines(FIRST), "without a reading"),
        (lines(FIRST, watch(0, -1, 50)), "line 2.cpu_percent: expected a number from 0"),
        (lines(FIRST, watch(0, 1, 150)), "line 2.memory_free_percent: expected a number from 0"),
        (lines({**FIRST, "schema": "metalassay.monitor/2"}), "newer metalassay"),
        (lines(step(1, 2), {"step": 2}), "line 2.loss is missing"),
        (b'{"step": 1, "loss": NaN}\n', "line 1.loss: expected a number"),
        (b'{"step": 1, "loss": 1e999}\n', "line 1.loss: expected a number"),
    ],
)
def test_anything_else_is_refused_with_the_line_number(content: bytes, message: str) -> None:
    with pytest.raises(FieldError, match=message.replace(".", r"\.")):
        training_log.parse(content, "x")


@given(st.binary() | st.text().map(str.encode))
def test_no_content_raises_anything_but_a_field_error(content: bytes) -> None:
    with contextlib.suppress(FieldError):
        training_log.parse(content, "x")


def test_there_are_plots_of_loss_cpu_and_memory() -> None:
    logs = [
        Log("a", load=((0, 50, 40), (30, 70, 35))),
        Log("b", loss=((10, 2.0), (20, 1.0))),
    ]
    section = training_log.section(logs)
    assert section is not None
    loss, cpu, memory = section.plots
    assert loss.title == "How did the loss fall?"
    assert [(p.x, p.y) for p in loss.series[0].points] == [(10, 2.0), (20, 1.0)]
    assert [(p.x, p.y) for p in cpu.series[0].points] == [(0, 50), (30, 70)]
    assert [(p.x, p.y) for p in memory.series[0].points] == [(0, 40), (30, 35)]
    assert [each.name for each in cpu.series] == ["a"]
    (table,) = section.tables
    dash = "\N{EN DASH}"
    assert table.rows == (
        ("a", "2 lines", dash, dash, "60.0", "35.0"),
        ("b", "2 lines", "2.00", "1.00", dash, dash),
    )


def test_there_is_a_plot_of_the_gpu_where_a_log_tells() -> None:
    rows = lines(
        FIRST, watch(0, 5, 70, gpu_percent=80), watch(30, 2, 60), watch(60, 2, 60, gpu_percent=90)
    )
    section = training_log.section([training_log.parse(rows, "m")])
    assert section is not None
    (gpu,) = [plot for plot in section.plots if "GPU" in plot.title]
    assert [(p.x, p.y) for p in gpu.series[0].points] == [(0, 80), (60, 90)]


def test_a_long_log_is_averaged_with_minimum_and_maximum_as_error_bars() -> None:
    count = 2 * training_log.MOST_POINTS + 1  # three readings a point
    section = training_log.section([Log("a", loss=tuple((n, n % 3) for n in range(count)))])
    assert section is not None
    points = section.plots[0].series[0].points
    assert len(points) == -(-count // 3)
    assert (points[0].x, points[0].y, points[0].low, points[0].high) == (1, 1, 0, 2)
    assert points[-1].high == (count - 1) % 3


def test_without_a_log_there_is_no_section() -> None:
    assert training_log.section([]) is None
    assert "training" not in {each.id for each in report.build(Loaded()).sections}
    log = Log("a", loss=((1, 1.0),))
    assert "training" in {each.id for each in report.build(Loaded(), logs=[log]).sections}


def test_the_command_reads_logs_and_refuses_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "log.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(lines(step(1, 1.0)))
    bad.write_bytes(b"nothing\n")
    (tmp_path / "in").mkdir()
    run = ["report", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*run, "--log", str(good)]) == 0
    assert main([*run, "--log", str(bad)]) == 2
    assert main([*run, "--log", str(tmp_path / "missing")]) == 2
    error = capsys.readouterr().err
    assert "line 1: not JSON" in error
    assert "cannot read" in error


def test_logs_alone_are_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.jsonl").write_bytes(lines(step(1, 1.0), step(2, 0.5)))
    assert main(["report", "-o", "out"]) == 2  # nothing was asked for by name, and nothing is there
    assert main(["report", "--log", "log.jsonl", "-o", "out"]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # however wide the terminal is
    assert "no result file was read; 1 log of a training run or a monitor." in printed
    assert "How did the loss fall?" in Path("out/report.html").read_text("utf-8")
    assert main(["report", "missing", "--log", "log.jsonl", "-o", "out"]) == 2
    assert "cannot read missing" in capsys.readouterr().err


def test_the_default_folder_is_read_beside_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.jsonl").write_bytes(lines(step(1, 1.0)))
    Path("reports").mkdir()
    Path("reports/bad.json").write_text("{}")
    assert main(["report", "--log", "log.jsonl"]) == 1
    assert "warning: reports/bad.json" in capsys.readouterr().err


def test_the_memory_of_the_program_is_plotted_where_the_log_tells_it() -> None:
    gib = 2**30
    told = (
        watch(30, 1, 50, program_memory_bytes=gib),
        watch(60, 1, 40, program_memory_bytes=3 * gib),
    )
    log = training_log.parse(lines(FIRST, watch(0, 1, 60), *told), "run")
    assert log.memory == ((30, 1), (60, 3))
    section = training_log.section([log])
    assert section is not None
    titles = [plot.title for plot in section.plots]
    assert titles[-1] == "How much memory did the program hold?"
    assert [point.y for point in section.plots[-1].series[0].points] == [1, 3]
    old = training_log.section([training_log.parse(lines(FIRST, watch(0, 1, 60)), "old")])
    assert old is not None
    assert len(old.plots) == 2
