"""The section of a profile: bars and a table that say the same, from a file that is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.report.sections import step_profile
from metalassay.supervise import profile_file
from metalassay.supervise.profile_file import Operator, Profile

OPERATORS = (
    Operator("aten::mm", 4, 12_000.0, cpu_bytes=4 << 20),
    Operator("aten::add", 2, 4_000.0, cpu_bytes=-(1 << 20)),
)


def written(**more: Any) -> bytes:
    values: dict[str, Any] = {
        "device": "cpu",
        "torch": "2.13.0",
        "profiled": (0.010, 0.012),
        "plain": (0.008, 0.006),
        "operators": OPERATORS,
    }
    return profile_file.to_json(Profile(**{**values, **more})).encode()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(written())
    change(document)
    return json.dumps(document).encode()


def test_what_a_run_writes_is_read_again() -> None:
    one = step_profile.parse(written(), "RUN/profile.json")
    assert one.profile.operators == OPERATORS
    assert one.profile.plain == (0.008, 0.006)


def test_bars_and_table_have_the_step_by_self_time() -> None:
    section = step_profile.section([step_profile.parse(written(), "RUN/profile.json")])
    assert section is not None
    (chart,), (table,) = section.bars, section.tables
    # 22 ms in two steps, 16 of them in operators.
    assert [(bar.name, bar.value) for bar in chart.bars] == [
        ("aten::mm", 6.0),
        (profile_file.OUTSIDE, 3.0),
        ("aten::add", 2.0),
    ]
    assert [bar.label for bar in chart.bars] == [
        "6.00 ms, 54.5%",
        "3.00 ms, 27.3%",
        "2.00 ms, 18.2%",
    ]
    assert table.rows[0] == ("aten::mm", "6.00", "54.5%", "2.00", "2.00")
    assert "took 1.62 x as long" in section.sentences[0]
    assert "enter no figure" in section.sentences[0]


def test_rare_operators_are_one_bar_and_the_bars_add_up() -> None:
    many = tuple(Operator(f"op{number}", 1, 100.0 + number) for number in range(50))
    one = step_profile.parse(written(operators=many), "p")
    section = step_profile.section([one])
    assert section is not None
    bars = section.bars[0].bars
    assert len(bars) == step_profile.MOST_BARS + 1
    assert bars[-1].name == "39 others"
    assert sum(bar.value for bar in bars) == pytest.approx(11.0)


def test_time_on_the_device_has_a_column() -> None:
    content = written(operators=(Operator("aten::mm", 2, 1_000.0, device_us=9_000.0),))
    section = step_profile.section([step_profile.parse(content, "p")])
    assert section is not None
    assert section.tables[0].head[3] == "ms on the device"
    assert section.tables[0].rows[1][:4] == ("aten::mm", "0.500", "4.5%", "4.50")


def test_without_a_profile_there_is_no_section() -> None:
    assert step_profile.section([]) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (changed(lambda top: top.pop("plain")), "plain is missing"),
        (changed(lambda top: top["plain"].pop()), "not pairs"),
        (changed(lambda top: top.update(plain=[0.0, 1.0])), r"plain\[0\]: expected a number"),
        (changed(lambda top: top["operators"][0].update(cpu_us=-1)), "cpu_us: expected a number"),
        (changed(lambda top: top["operators"][0].update(name=3)), "name: expected text"),
        (changed(lambda top: top.update(operators=top["operators"] * 200)), "more than 201"),
        (changed(lambda top: top.update(schema="metalassay.profile/9")), "schema: expected one of"),
        (written()[:300], "not JSON"),
    ],
)
def test_a_file_that_is_not_as_we_write_it_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        step_profile.parse(content, "p")


def test_a_run_folder_stands_for_its_log_and_its_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "profile.json").write_bytes(written())
    (run / "log.jsonl").write_text('{"step": 1, "loss": 2.5}\n', "utf-8")
    page = tmp_path / "page"
    assert main(["report", str(run), "--log", str(run), "-o", str(page)]) == 0
    out = capsys.readouterr().out
    assert "1 log of a training run or a monitor; 1 profile of training steps" in " ".join(
        out.split()
    )
    html = (page / "report.html").read_text("utf-8")
    assert html.count("<svg") == 2
    assert "aten::mm: 6.00 ms, 54.5%" in html
    text = (page / "report.md").read_text("utf-8")
    assert "## Training runs" in text
    assert "## Where a step goes" in text


def test_a_folder_without_either_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--log", str(tmp_path), "-o", str(tmp_path / "page")]) == 2
    assert "has no log.jsonl, calibration.json or profile.json" in capsys.readouterr().err


def test_a_damaged_profile_is_refused_by_its_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "profile.json"
    file.write_bytes(changed(lambda top: top.pop("torch")))
    assert main(["report", "--log", str(file), "-o", str(tmp_path / "page")]) == 2
    assert "torch is missing" in capsys.readouterr().err
