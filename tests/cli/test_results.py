"""`metalassay results check`: one line per problem, and an exit code for CI."""

from __future__ import annotations

import json
from pathlib import Path

import bench_files
import pytest

from metalassay.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text(json.dumps(bench_files.document()))

    def hot(document: dict[str, dict[str, dict[str, dict[str, object]]]]) -> None:
        document["metalassay"]["conditions"]["after"]["thermal_pressure"] = "heavy"
        document["machine_info"]["hardware"]["virtual"] = True  # type: ignore[assignment]

    (tmp_path / "hot.json").write_bytes(bench_files.edited(hot))
    (tmp_path / "other.json").write_text("{}")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_file_without_problems_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "check", "good.json"]) == 0
    assert capsys.readouterr().out == "good.json: accepted\n"


@pytest.mark.usefixtures("folder")
def test_each_problem_is_a_line_with_its_file_and_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["results", "check", "good.json", "hot.json"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "good.json: accepted",
        "hot.json: metalassay.conditions: throttled: after the run the thermal pressure was heavy",
        "hot.json: warning: machine_info.hardware.virtual: a virtual machine, not the chip alone",
    ]


@pytest.mark.parametrize("name", ["other.json", "missing.json", "."])
@pytest.mark.usefixtures("folder")
def test_what_is_no_result_is_exit_code_2_and_the_others_are_checked(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["results", "check", name, "good.json"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("metalassay: ")
    assert "next: " in err
    assert name == "missing.json" or out == "good.json: accepted\n"


@pytest.mark.usefixtures("folder")
def test_a_program_reads_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "check", "--json", "good.json", "hot.json", "other.json"]) == 2
    good, hot, other = json.loads(capsys.readouterr().out)
    assert (good["accepted"], hot["accepted"], other["accepted"]) == (True, False, False)
    assert hot["problems"][0]["field"] == "metalassay.conditions"
    assert hot["warnings"][0]["field"] == "machine_info.hardware.virtual"
    assert other["not_a_result"] == "not a benchmark run of metalassay"
