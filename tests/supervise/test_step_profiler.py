"""Steps are profiled in turns with plain ones; whatever fails costs the profile and not the training."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from metalassay.supervise import step_profiler  # noqa: E402
from metalassay.supervise.step_profiler import StepProfiler  # noqa: E402


def step() -> None:
    weights = torch.ones(32, 32, requires_grad=True)
    (weights @ weights).relu().sum().backward()


def profiled(
    folder: Path, steps: int = 3, taken: int = 20, **options: Any
) -> tuple[list[str], int]:
    """Take steps; return what was said, and how many of them were part of the profile."""
    said: list[str] = []
    profiler = StepProfiler(
        options.pop("torch", torch),
        options.pop("device", "cpu"),
        steps,
        folder,
        said.append,
        **options,
    )
    measured = 0
    for _ in range(taken):
        measured += profiler.measuring
        profiler.begin()
        step()
        profiler.end()
    profiler.finish()
    return said, measured


def trace(folder: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(
        gzip.decompress((folder / "trace.json.gz").read_bytes())
    )["traceEvents"]
    return events


def test_a_profile_has_its_steps_in_pairs_and_its_operators_with_calls_and_memory(
    tmp_path: Path,
) -> None:
    said, measured = profiled(tmp_path)
    summary = json.loads((tmp_path / "profile.json").read_text())
    assert measured == 6  # three profiled, three plain; neither the warm-up nor what follows
    assert len(summary["profiled"]) == len(summary["plain"]) == 3
    operators = {each["name"]: each for each in summary["operators"]}
    assert operators["aten::mm"]["calls"] == 9  # one forward, two backward
    assert operators["aten::mm"]["cpu_bytes"] == 9 * 32 * 32 * 4
    assert said[0].startswith("where a step goes: 3 profiled steps")
    assert any("enter no figure" in line for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["profile.json", "trace.json.gz"]


def test_the_trace_has_all_profiled_steps_on_one_clock(tmp_path: Path) -> None:
    profiled(tmp_path)
    events = trace(tmp_path)
    assert json.loads((tmp_path / "profile.json").read_text())["events"] == len(events)
    products = [event["ts"] for event in events if event["name"] == "aten::mm"]
    assert len(products) == 9
    assert products == sorted(products)
    assert products[-1] - products[0] < 60e6  # microseconds, less than a minute


def test_sessions_of_different_clocks_are_put_on_that_of_the_first() -> None:
    def session(base: int, ts: float) -> Any:
        document = {"baseTimeNanoseconds": base, "traceEvents": [{"name": "x", "ts": ts}]}
        return SimpleNamespace(
            export_chrome_trace=lambda to: Path(to).write_text(json.dumps(document))
        )

    whole = step_profiler._Trace()
    whole.add(session(5_000_000, 1.0))
    whole.add(session(8_000_000, 2.0))  # 3,000 microseconds later
    events = json.loads(gzip.decompress(whole.compressed()))["traceEvents"]
    assert [event["ts"] for event in events] == [1.0, 3002.0]


def test_a_trace_that_is_too_long_is_cut_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_profiler, "MOST_EVENTS", 50)
    said, _ = profiled(tmp_path)
    assert len(trace(tmp_path)) == 50
    assert json.loads((tmp_path / "profile.json").read_text())["cut"] > 0
    assert any("(50 events, " in line and "more left out" in line for line in said)


def test_a_training_that_ends_early_leaves_the_profile_of_its_whole_pairs(tmp_path: Path) -> None:
    said, _ = profiled(tmp_path, steps=10, taken=3 + 5)  # two pairs, and a profiled step alone
    summary = json.loads((tmp_path / "profile.json").read_text())
    assert len(summary["profiled"]) == len(summary["plain"]) == 2
    assert {each["name"]: each for each in summary["operators"]}["aten::mm"]["calls"] == 6
    assert "the training ended before 10 steps were profiled" in said


def test_a_training_that_ends_in_the_warm_up_has_no_profile_and_says_so(tmp_path: Path) -> None:
    said, measured = profiled(tmp_path, taken=3)
    assert (said, measured) == (["no profile: the training ended before a step was profiled"], 0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_the_files_and_not_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    said, _ = profiled(tmp_path)
    assert any(
        line.startswith("no trace: cannot write") and "No space left" in line for line in said
    )
    assert any(line.startswith("no summary: cannot write") for line in said)
    assert said[0].startswith("where a step goes")
    assert not list(tmp_path.iterdir())


def test_an_active_profiler_of_the_program_is_left_alone(tmp_path: Path) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as theirs:
        said, _ = profiled(tmp_path)
    assert said == [
        "no profile: torch's profiler failed (another profiler is active in this program);"
        " the training goes on"
    ]
    assert any(each.key == "aten::mm" for each in theirs.key_averages())


class FakeMps:
    """The calls of ``torch.mps`` that a profile makes, noted in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.profiler = SimpleNamespace(start=self._start, stop=lambda: self.calls.append("stop"))

    def _start(self, mode: str = "interval", wait_until_completed: bool = False) -> None:
        self.calls.append(f"start {mode} {wait_until_completed}")

    def synchronize(self) -> None:
        self.calls.append("wait")


@pytest.mark.parametrize("signposts", [True, False])
def test_on_mps_signposts_mark_the_profiled_steps_and_the_clock_waits(
    tmp_path: Path, signposts: bool
) -> None:
    mps = FakeMps()
    if not signposts:  # a torch without torch.mps.profiler
        del mps.profiler
    fake = SimpleNamespace(mps=mps, autograd=torch.autograd, __version__="2.13.0")
    said, _ = profiled(tmp_path, steps=1, torch=fake, device="mps")
    session = ["start interval False", "wait", "wait", "stop", "wait", "wait"]
    wanted = ["start interval False", "stop", *session]  # the first sets up the profiler
    if not signposts:
        wanted = [call for call in wanted if call == "wait"]
    assert mps.calls == wanted
    text = "\n".join(said)
    assert "the time in which the CPU issues the operators" in text
    assert ("Instruments" in text) == signposts
