"""RLHF beside the minutes of guide 003: measured rates, what would fit, and nothing that was not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constructed_runs import measured

from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.report.model import NO_VALUE, NOT_MEASURED
from metalassay.report.sections import rlhf_times
from metalassay.results.measurement import Measurement

# As `metalassay train rlhf ppo` writes it, with round numbers.
RESULT: dict[str, Any] = {
    "trainer": "ppo",
    "steps": 10,
    "timed_steps": 9,
    "steps_per_second": 2.0,
    "tokens_per_second": 1024.0,
    "peak_memory": {"peak_rss": 500 * 2**20},
    "device": "cpu",
    "versions": {"torch": "2.13.0", "trl": "0.18.2"},
    "model": "runs/ppo/model",
}


def run(**changes: Any) -> rlhf_times.RlhfRun:
    return rlhf_times.parse(json.dumps(RESULT | changes).encode(), "r")


def test_without_a_run_there_is_no_section() -> None:
    assert rlhf_times.section([]) is None


def test_measured_rates_stand_beside_the_published_minutes() -> None:
    section = rlhf_times.section([run()])
    assert section is not None
    ppo, reward, dpo, chain = section.tables[0].rows
    assert ppo == (
        "basic example of PPO",
        "about 5 min (line 44-51, 72)",
        "≥ 0.0433",
        "r (cpu, torch 2.13.0, TRL 0.18.2)",
        "2.00",
        "1,020",
        "500",
        "600",
    )
    for row in (reward, dpo, chain):
        assert row[2:] == (NO_VALUE, NO_VALUE, *[NOT_MEASURED] * 4)
    assert "not measured here" in section.tables[0].head[1]
    assert "not measured here or by us" in section.sentences[0]


def test_what_the_guide_does_not_name_has_no_minutes_and_one_step_no_speed() -> None:
    section = rlhf_times.section(
        [run(trainer="grpo", steps_per_second=None, tokens_per_second=None)]
    )
    assert section is not None
    row = section.tables[0].rows[-1]
    assert row[:3] == ("GRPO", "not named", NO_VALUE)
    assert row[4:] == (NO_VALUE, NO_VALUE, "500", NO_VALUE)
    assert all(each[4] == NOT_MEASURED for each in section.tables[0].rows[:-1])


def test_the_bounds_are_those_of_the_chips() -> None:
    section = rlhf_times.section([run()])
    assert section is not None
    bounds = {row[0]: row[2] for row in section.tables[1].rows}
    assert bounds["Apple M1"] == "1"
    assert bounds["Apple M2 Pro"] == "2.93"  # 200 over 68.25 GB/s; its arithmetic is not known here
    assert bounds["Apple M3 Max"] == "5.86"  # 400 over 68.25 GB/s


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trainer", "none"),
        ("steps_per_second", "fast"),
        ("steps_per_second", -1),
        ("peak_memory", None),
        ("versions", {}),
        ("device", 3),
        ("steps", 1.5),
    ],
)
def test_a_damaged_result_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(FieldError, match=field):
        run(**{field: value})


def test_the_command_reads_the_folder_of_a_run_and_a_report_without_it_passes_it_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/ppo")
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(RESULT), "utf-8")
    (folder / "settings.json").write_text(json.dumps({"trainer": "ppo", "steps": 10}), "utf-8")
    assert main(["report", "--log", "runs/ppo", "-o", "out"]) == 0
    assert "1 run of RLHF" in " ".join(capsys.readouterr().out.split())
    page = Path("out/report.html").read_text("utf-8")
    assert "published, not measured here" in page
    assert "TRL 0.18.2" in page
    assert main(["report", "runs", "-o", "other"]) == 0
    assert "warning" not in capsys.readouterr().err


PLAIN = measured("m4")[0]


def benchmark(**changes: Any) -> Measurement:
    return replace(
        PLAIN,
        **{
            "workload": "rlhf-ppo",
            "seconds": (0.5, 0.25, 1.0),
            "tokens_per_call": 100.0,
            "peak_rss": 300 * 2**20,
            "versions": {"torch": "2.13.0", "trl": "0.18.2"},
            **changes,
        },
    )


def of(*measured: Measurement) -> list[rlhf_times.RlhfRun]:
    return list(rlhf_times.of_benchmarks(measured, lambda machine: None))


def test_benchmarks_stand_there_with_the_median_of_their_steps() -> None:
    (one,) = of(benchmark(), PLAIN)
    assert (one.steps_per_second, one.tokens_per_second, one.steps) == (2.0, 200.0, 3)
    section = rlhf_times.section([one])
    assert section is not None
    row = section.tables[0].rows[0]
    assert row[3].startswith(f"benchmark, batch {benchmark().batch_size}, ")
    assert row[4:] == ("2.00", "200", "300", "600")


def test_benchmarks_without_tokens_have_none_and_emulated_ones_are_not_shown() -> None:
    (one,) = of(benchmark(tokens_per_call=None))
    assert one.tokens_per_second is None
    assert of(benchmark(emulated=True)) == []
