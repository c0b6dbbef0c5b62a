"""What a client sends, keeps and refuses; tests with real workers are in test_fleet_live.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fleet_demo
import pytest
import toy_checkout

from metalassay.errors import UserError
from metalassay.matrix import fleet, fleet_worker
from metalassay.matrix.fleet import Fleet
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.progress import Progress
from metalassay.matrix.run_row import Options, Outcome
from metalassay.results import unfinished

ROW = Row("a", ("lib",), "why", ("full",))
MAC = Row("mac", ("lib",), "why", ("full",), needs=("mps",))
TAIL = "tcp://127.0.0.1:8786"


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(root=tmp_path, output=tmp_path / "out", environments=tmp_path / "unused")


def tasks(
    options: Options, *rows: Row, known: Mapping[str, float] | None = None, **more: Any
) -> Any:
    where = Fleet(TAIL, needs=more.pop("needs", {}))
    return fleet._tasks(rows, options, where, known or {}, benchmarks=more.pop("benchmarks", False))


def test_the_longest_row_goes_first_and_an_untimed_one_before_it(options: Options) -> None:
    rows = [Row(name, (), "", ()) for name in ("short", "long", "new")]
    sent = tasks(options, *rows, known={"short": 1.0, "long": 9.0})
    assert [(task.name, task.priority) for task in sent] == [("new", 0), ("long", 1), ("short", 2)]


def test_benchmarks_go_before_all_rows(options: Options) -> None:
    sent = tasks(options, ROW, benchmarks=True)
    assert [task.name for task in sent] == ["bench", "a"]
    assert sent[0].order["row"] is None


def test_a_row_needs_what_it_says_and_what_the_client_says(options: Options) -> None:
    [task] = tasks(options, MAC, needs={"m4pro": 1.0})
    assert task.needs == {"mps": 1.0, "m4pro": 1.0}


def test_the_earlier_verdicts_go_along_unless_they_are_not_to_be_trusted(options: Options) -> None:
    target = options.output / "a.json"
    assert tasks(options, ROW)[0].order["known"] == {}
    options.output.mkdir()
    target.write_bytes(b"{}")
    assert tasks(options, ROW)[0].order["known"] == {"a.json": b"{}"}
    fresh = Options(options.root, options.output, options.environments, fresh=True)
    assert tasks(fresh, ROW)[0].order["known"] == {}
    unfinished.path_of(target).write_text("{}")
    assert tasks(options, ROW)[0].order["known"] == {}


def test_rows_that_no_worker_can_run_are_named_with_what_there_is(options: Options) -> None:
    sent = tasks(options, ROW, MAC)
    workers = {"one": {"resources": {"linux": 1.0}}, "two": {"resources": {}}, "three": {}}
    with pytest.raises(UserError) as caught:
        fleet._refuse_unmet_needs(sent, workers)
    assert caught.value.message == "mac needs mps=1; the workers offer: linux=1, nothing"
    assert "--resources 'mps=1', or --wait" in caught.value.next_step
    with pytest.raises(UserError, match="no worker is connected"):
        fleet._refuse_unmet_needs(sent, {})
    fleet._refuse_unmet_needs(sent, {"mini": {"resources": {"mps": 1.0}}})


def test_one_worker_must_offer_all_of_it() -> None:
    both = {"mps": 1.0, "m4pro": 1.0}
    assert not fleet._met(both, [{"mps": 1.0}, {"m4pro": 1.0}])
    assert not fleet._met({"linux": 2.0}, [{"linux": 1.0}])
    assert fleet._met(both, [{"mps": 1.0}, {**both, "x": 1.0}])
    assert fleet._met({}, [{}])


def client_with(**packages: str | None) -> Any:
    ours = {"dask": "2.0", "distributed": "2.0", "metalassay": "1"}
    facts = {
        "client": {"packages": ours},
        "scheduler": {"packages": ours},
        "workers": {"tcp://mini:1": {"packages": {**ours, **packages}}},
    }
    return SimpleNamespace(get_versions=lambda packages: facts)


def test_another_dask_is_refused_and_another_metalassay_is_not() -> None:
    fleet._refuse_other_versions(client_with(metalassay="0.9"))
    with pytest.raises(UserError) as caught:
        fleet._refuse_other_versions(client_with(distributed="1.0"))
    assert caught.value.message == "tcp://mini:1 has distributed 1.0, and this machine 2.0"
    assert caught.value.next_step == "pip install distributed==2.0 there"
    with pytest.raises(UserError, match="tcp://mini:1 has no metalassay"):
        fleet._refuse_other_versions(client_with(metalassay=None))


def running(options: Options, *rows: Row) -> fleet._Run:
    """Return a run without a scheduler, whose rows were handed in."""
    run = object.__new__(fleet._Run)
    run.options, run.outcomes, run.futures = options, {}, {}
    run.progress = Progress([row.id for row in rows], {}, 1)
    run.tasks = {task.name: task for task in tasks(options, *rows)}
    return run


HERE = {"host": "mini", "worker": "tcp://mini:1"}
GREEN = {"row": "a", "state": "green", "why": "", "seconds": 1.0, "unchanged": None}


def test_what_a_worker_wrote_is_kept_and_the_mark_is_gone(options: Options) -> None:
    run = running(options, ROW)
    run.mark(run.tasks["a"], "it began")
    files = {"a.json": b"verdicts", "a.log": b"what pytest said"}
    run.keep(run.tasks["a"], {**HERE, "outcome": GREEN, "files": files})
    assert run.outcomes == {"a": Outcome("a", "green", "", 1.0)}
    assert {path.name: path.read_bytes() for path in options.output.iterdir()} == files


def test_an_error_names_its_machine_and_leaves_the_earlier_file(options: Options) -> None:
    options.output.mkdir()
    (options.output / "a.json").write_text("earlier")
    run = running(options, ROW)
    run.tasks["a"].machine = {"system": "Darwin", "release": "25", "machine": "arm64"}
    run.keep(run.tasks["a"], {**HERE, "error": "uv is not installed", "files": {}})
    assert run.outcomes["a"].why == "uv is not installed (on mini, tcp://mini:1)"
    assert (options.output / "a.json").read_text() == "earlier"
    marker = unfinished.path_of(options.output / "a.json").read_text()
    assert '"Darwin"' in marker


@pytest.mark.parametrize("name", ["../a.json", "/etc/a", "b.json", "a/b"])
def test_a_worker_writes_nowhere_else(options: Options, name: str, tmp_path: Path) -> None:
    run = running(options, ROW)
    run.keep(run.tasks["a"], {**HERE, "outcome": GREEN, "files": {name: b"x"}})
    assert run.outcomes["a"].state == "error"
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"a.unfinished"}


def test_the_result_of_the_benchmarks_has_a_folder_of_its_own(options: Options) -> None:
    [task] = tasks(options, benchmarks=True)
    run = running(options)
    files = {"bench-20261128T100000Z.json": b"{}", "bench.log": b"x"}
    run.keep(task, {**HERE, "outcome": {**GREEN, "row": "bench"}, "files": files})
    found = {str(path.relative_to(options.output)) for path in options.output.rglob("*.*")}
    assert found == {"benchmarks/bench-20261128T100000Z.json", "bench.log"}


def test_an_outcome_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot end as 'fine'"):
        fleet.outcome({**GREEN, "state": "fine"})


def test_a_dead_address_is_said_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(fleet, "CONNECT", 1.0)
    root = toy_checkout.make(tmp_path / "checkout", {"a": ""}, seconds=0)
    options = Options(root=root, output=tmp_path / "out", environments=tmp_path / "unused")
    address = f"tcp://127.0.0.1:{fleet_demo.free_port()}"
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        fleet.run([ROW], options, Fleet(address), {})
    assert time.monotonic() - began < 30
    assert caught.value.message.startswith(f"no scheduler answers at {address}: ")
    assert "\n" not in caught.value.message
    assert not (tmp_path / "out").exists()


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, options: Options) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError) as caught:
        fleet.run([ROW], options, Fleet(TAIL), {})
    assert caught.value.next_step == "pip install 'metalassay[fleet]'"


def test_the_scheduler_is_told_how_many_workers_a_row_may_take() -> None:
    scheduler = SimpleNamespace(allowed_failures=3)
    fleet_worker.allow_failures(1, dask_scheduler=scheduler)
    assert scheduler.allowed_failures == 1
