"""A whole run, with the suite replaced: its files, its exit, its last lines, and that a failed clock ends it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import bench_files
import pytest

from metalassay.bench import devices, largest_batch, profiles, run, suite
from metalassay.bench.devices import Devices
from metalassay.bench.run import Wanted
from metalassay.bench.suite import Ran, Step
from metalassay.environment import project_home
from metalassay.machine import conditions, hardware
from metalassay.machine.hardware import from_dict
from metalassay.results import load, max_batch_file

MAC = from_dict(bench_files.HARDWARE)


@pytest.fixture(autouse=True)
def a_mac(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let this be an M4 on which the suite leaves constructed files; return what it leaves, by device."""
    left: dict[str, Any] = {
        device: Ran(bench_files.of_one_device(device)) for device in ("mps", "cpu")
    }

    def measure(device: str, workloads: Any, seconds: float, shown: Any, *, emulated: bool) -> Ran:
        step = Step(device, "transit-cnn", 64, "train")
        shown.begins(str(step))
        shown.tick()
        shown.ends(str(step), "measured", 2.0)
        ran: Ran = left[device]
        return ran

    monkeypatch.setattr(hardware, "probe", lambda: MAC)
    monkeypatch.setattr(devices, "find", lambda *_, **__: Devices(("mps", "cpu")))
    monkeypatch.setattr(suite, "run", measure)
    monkeypatch.setattr(project_home, "project_urls", list)
    return left


def test_a_run_leaves_one_result_and_one_card_named_after_machine_and_day(tmp_path: Path) -> None:
    finished = run.run(Wanted(folder=tmp_path))
    assert sorted(tmp_path.iterdir()) == [finished.file, finished.card]
    assert finished.file.name.startswith("metalassay-apple-m4-10gpu-16gb-20")
    loaded = load.load([finished.file])
    assert loaded.warnings == ()
    assert {one.device for one in loaded.measurements} == {"mps", "cpu"}
    assert finished.card.read_text("utf-8").startswith("<svg")
    assert finished.problems == ()
    assert run.last_lines(finished) == [
        str(finished.file),
        str(finished.card),
        "To contribute it, attach the .json to an issue where this copy of metalassay was published."
        " Nothing was sent.",
    ]


def test_the_second_run_is_compared_with_the_first(tmp_path: Path, a_mac: dict[str, Any]) -> None:
    first = run.run(Wanted(folder=tmp_path))
    assert first.since == ""
    for ran in a_mac.values():
        ran.document["datetime"] = "2026-11-28T14:00:00+00:00"
    second = run.run(Wanted(folder=tmp_path))
    assert second.since == "2026-11-28 13:00 UTC"
    assert second.file.name == first.file.name.replace(".json", "-2.json")
    assert {row.ratio for row in second.rows} == {1.0}


def test_a_clock_that_fails_its_test_ends_the_run_without_a_file(
    tmp_path: Path, a_mac: dict[str, Any]
) -> None:
    a_mac["mps"] = Ran(None, {}, "selftest FAILED: a sleep")
    finished = run.run(Wanted(folder=tmp_path))
    assert finished.proof == "mps: selftest FAILED: a sleep"
    assert list(tmp_path.iterdir()) == []


def test_an_issue_is_filled_in_where_the_project_has_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        project_home, "project_urls", lambda: ["Issues, https://x.example/a/issues"]
    )
    finished = run.run(Wanted(folder=tmp_path))
    url = run.last_lines(finished)[-1]
    filled = parse_qs(urlsplit(url).query)
    assert url.startswith("https://x.example/a/issues/new?")
    assert filled["title"] == [f"Results: {hardware.describe(MAC)}"]
    assert finished.file.name in filled["body"][0]
    assert "torch 2.13.0" in filled["body"][0]
    assert str(tmp_path) not in filled["body"][0]


def test_a_run_that_would_not_be_accepted_says_why_and_invites_nobody(
    tmp_path: Path, a_mac: dict[str, Any]
) -> None:
    a_mac["cpu"].document["metalassay"]["conditions"]["after"]["battery"] = 0.5
    lines = run.last_lines(run.run(Wanted(folder=tmp_path)))
    assert "`metalassay results check` finds 1 problem in the file:" in lines
    assert "  on battery: the system saves power" in lines
    assert not any("attach" in line for line in lines)


def test_problems_of_a_kind_are_counted_so_that_the_numbers_agree(
    tmp_path: Path, a_mac: dict[str, Any]
) -> None:
    for one in a_mac["cpu"].document["benchmarks"]:
        one["extra_info"]["marks"] = ["busy: a load of 9.0 on 2 processors"]
    finished = run.run(Wanted(folder=tmp_path))
    errors = [one for one in finished.problems if not one.warning]
    assert len(errors) > 1
    lines = run.last_lines(finished)
    assert f"`metalassay results check` finds {len(errors)} problems in the file:" in lines
    assert f"  busy: a load of 9.0 on 2 processors ({len(errors)} times)" in lines
    assert "Doubtful: busy." in finished.card.read_text("utf-8")


def test_a_clean_run_has_a_card_without_a_mark(tmp_path: Path) -> None:
    assert "Doubtful" not in run.run(Wanted(folder=tmp_path)).card.read_text("utf-8")


def test_a_benchmark_that_failed_has_its_line(tmp_path: Path, a_mac: dict[str, Any]) -> None:
    failed = {Step("mps", "gpt-small", 4, "train"): "failed: RuntimeError: no kernel"}
    a_mac["mps"] = replace(a_mac["mps"], failures=failed)
    finished = run.run(Wanted(folder=tmp_path))
    label = "mps: gpt-small training, batch 4"
    assert finished.failed == ((label, "failed: RuntimeError: no kernel"),)
    assert label in [row[0] for row in finished.table.rows]
    assert f"FAILED: {label}: failed: RuntimeError: no kernel" in run.last_lines(finished)


def test_a_rehearsal_is_marked_in_name_table_card_and_last_line(
    tmp_path: Path, a_mac: dict[str, Any]
) -> None:
    for one in a_mac["mps"].document["benchmarks"]:
        one["extra_info"]["emulated"] = True
    finished = run.run(Wanted(folder=tmp_path, emulated=True))
    assert finished.file.name.startswith("metalassay-rehearsal-")
    assert finished.rehearsal.startswith("REHEARSAL: ")
    assert "REHEARSAL" in finished.card.read_text("utf-8")
    assert "rehearsal" in run.last_lines(finished)[-1]
    assert {row[1] for row in finished.table.rows} == {"refused: rehearsal"}
    assert {one["median"] for one in run.as_dict(finished)["results"]} == {None}


def test_the_largest_batch_is_searched_only_in_a_full_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []

    def search(workload: str, mode: str, device: str) -> dict[str, Any]:
        searched.append((workload, mode, device))
        tries = [{"batch": 1, "fits": True, "peak_rss": 1, "why": "", "driver_seen": None}]
        return max_batch_file.document(
            workload=workload, mode=mode, device="cpu", dtype="float32", threads=1,
            malloc="default", emulated=False, tries=tries, started="2026-11-28T13:00:00+00:00",
            seconds=1.0, versions={"torch": "2.13.0"}, machine=MAC,
        )  # fmt: skip

    monkeypatch.setattr(largest_batch, "search", search)
    run.run(Wanted(folder=tmp_path / "a"))
    assert searched == []
    finished = run.run(Wanted(folder=tmp_path / "b", full=True))
    assert searched == [("transit-cnn", "train", "mps"), ("gpt-small", "train", "mps")]
    assert [path.exists() for path in finished.batch_files] == [True, True]
    assert "cpu: largest batch, gpt-small train" in [row[0] for row in finished.table.rows]


def test_progress_has_the_machine_its_conditions_and_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("COLUMNS", "80")
    run.run(Wanted(folder=tmp_path), stream)
    said = stream.getvalue()
    assert " ".join(said.split()).startswith(f"{hardware.describe(MAC)}; power mode ")
    assert max(map(len, said.splitlines())) <= 80
    rest = said.splitlines()
    (line,) = (each for each in rest if each.startswith("measured") and "mps" in each)
    assert line.endswith("mps: transit-cnn training, batch 64 (2.0 s) [1 of 8, 14 s left]")


def calm(**changes: Any) -> conditions.Conditions:
    return conditions.Conditions(**{**bench_files.CALM, **changes})


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (calm(), "; power mode automatic, heat nominal"),
        (calm(battery=0.5, power_mode="low"), "; on battery, power mode low, heat nominal"),
        (calm(thermal_pressure="heavy"), "; power mode automatic, heat heavy"),
        (
            calm(power_mode=None, thermal_pressure=None),
            "; power mode not reported, heat not reported",
        ),
        (calm(thermal_pressure=None, temperature=51.2), "; power mode automatic, heat 51 °C"),
    ],
)
def test_the_first_line_names_what_is_not_reported(now: conditions.Conditions, said: str) -> None:
    assert run.headline(MAC, now) == hardware.describe(MAC) + said


def test_what_a_program_reads_is_json(tmp_path: Path) -> None:
    read = json.loads(json.dumps(run.as_dict(run.run(Wanted(folder=tmp_path)))))
    assert read["results"][0]["median"] == pytest.approx(3200)
    assert {one["chip"] for one in read["published"]} == {"Apple M4", "Apple M4 Pro"}
    assert all(one["source"].startswith("https://") for one in read["published"])
    assert read["problems"] == []


def test_profiles_come_after_what_was_measured_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def profile(step: Step, steps: int, folder: Path, tick: Any) -> profiles.Profiled:
        assert len(list(tmp_path.glob("metalassay-*.json"))) == 1
        asked.append((str(step), steps))
        if step.device == "cpu":
            return profiles.Profiled(step, why="no profile: another profiler is active")
        return profiles.Profiled(step, (folder / "profile-x.json",), ("where a step goes: …",))

    monkeypatch.setattr(profiles, "run", profile)
    finished = run.run(Wanted(folder=tmp_path, profile=7))
    assert {steps for _, steps in asked} == {7}
    assert [step for step, _ in asked] == [
        f"{device}: {workload} {mode}, batch {batch}"
        for device in ("mps", "cpu")
        for workload, batch in suite.QUICK
        for mode in ("training", "inference")
    ]
    last = run.last_lines(finished)
    assert last[2].startswith(f"{finished.profile_folder}/ (")
    assert (
        "no profile of cpu: gpt-small training, batch 4: no profile: another profiler is active"
        in last
    )
    assert sum(bool(one["why"]) for one in run.as_dict(finished)["profiles"]) == 4


def test_a_profile_that_is_interrupted_costs_nothing_that_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def profile(*_: Any) -> profiles.Profiled:
        raise KeyboardInterrupt

    monkeypatch.setattr(profiles, "run", profile)
    with pytest.raises(KeyboardInterrupt):
        run.run(Wanted(folder=tmp_path, profile=7))
    (file,) = tmp_path.glob("metalassay-*.json")
    assert load.load([file]).warnings == ()


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(profile=7, emulated=True)])
def test_nothing_is_profiled_unasked_or_on_an_emulated_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted
) -> None:
    monkeypatch.setattr(profiles, "run", lambda *_: pytest.fail("it profiles"))
    assert run.run(replace(wanted, folder=tmp_path)).profiles == ()
