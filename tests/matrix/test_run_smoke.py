"""A row that runs the smoke test: the files that it leaves, and what makes it red or an error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalassay.matrix import ahead, environments, inputs, matrix_file, resolver, run_row
from metalassay.matrix.resolver import Failure
from metalassay.matrix.run_row import Options
from metalassay.results import smoke_file, unfinished
from metalassay.smoke import parent
from metalassay.smoke.parent import Stage

ROOT = Path(__file__).parents[2]
TABLE = """
[[row]]
id = "other"
requires = ["lib"]
python = "{0}.{1}"
tags = ["full"]
reason = "r"

[[fresh]]
package = "lib"
with = ["other"]
python = "{0}.{1}"
versions = ["1.0"]
""".format(*sys.version_info)
PASSED = tuple(Stage(name, parent.PASSED) for name in parent.STAGES)


def ended(name: str, status: str, error: str) -> tuple[Stage, ...]:
    """Return all stages passed but one."""
    return tuple(Stage(each.name, status, error) if each.name == name else each for each in PASSED)


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Options]:
    """Return a function that says what the smoke test finds, run by run, and returns options for it."""
    monkeypatch.setattr(run_row, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(resolver, "lock", lambda *_: ("lib==1.0",))
    monkeypatch.setattr(environments, "build", lambda *_: None)
    (tmp_path / "matrix.toml").write_text(TABLE)
    for name in ("src", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    site = tmp_path / "env" / "smoke-1" / "lib" / "python3.11" / "site-packages"
    (site / "lib-1.0.dist-info").mkdir(parents=True)
    (site / "lib-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Lib\nVersion: 1.0\n"
    )

    def says(*answers: Sequence[Stage]) -> Options:
        left = list(answers)

        def run(python: str, stages: Sequence[str], **_: Any) -> tuple[Stage, ...]:
            return tuple(stage for stage in left.pop(0) if stage.name in stages)

        monkeypatch.setattr(parent, "run", run)
        return Options(tmp_path, tmp_path / "out", tmp_path / "env", say=lambda _: None)

    return says


def run(options: Options) -> run_row.Outcome:
    return run_row.run(matrix_file.get(options.root, "fresh-lib-1.0"), options)


def found(options: Options) -> smoke_file.SmokeSet:
    return smoke_file.load(options.output / "fresh-lib-1.0.json")


def test_stages_that_pass_or_are_absent_make_a_green_row(row: Callable[..., Options]) -> None:
    options = row(ended("GRPOTrainer", parent.ABSENT, "this trl has no GRPOTrainer"))
    assert run(options).state == run_row.GREEN
    file = found(options)
    assert [stage.name for stage in file.stages] == list(parent.STAGES)
    assert file.origin.lock == ("lib==1.0",)
    assert file.command == "metalassay matrix run fresh-lib-1.0"
    assert not unfinished.path_of(options.output / "fresh-lib-1.0.json").exists()


def test_what_no_known_bug_explains_is_red_and_named(row: Callable[..., Options]) -> None:
    options = row(ended("DPOTrainer", parent.FAILED, "ZeroDivisionError: of a new kind"))
    outcome = run(options)
    assert outcome.state == run_row.RED
    assert outcome.why == "no known bug explains: DPOTrainer"
    again = run(options)
    assert (again.state, again.unchanged) == (run_row.RED, found(options).started)


def test_an_unchanged_row_is_not_run_again(row: Callable[..., Options]) -> None:
    options = row(PASSED)
    run(options)
    again = run(options)  # a second run of the smoke test would have no answer
    assert (again.state, again.unchanged) == (run_row.GREEN, found(options).started)


def test_another_lock_runs_the_row_again(
    row: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = row(PASSED, PASSED)
    run(options)
    monkeypatch.setattr(resolver, "lock", lambda *_: ("Lib==1.0",))
    assert run(options).unchanged is None


def test_what_was_killed_has_a_second_try(row: Callable[..., Options]) -> None:
    killed = ended("Trainer", parent.CRASHED, "the process was ended by SIGKILL")
    options = row(killed, PASSED)
    assert run(options).state == run_row.GREEN
    options = replace(row(killed, killed), fresh=True)
    assert run(options).state == run_row.RED


def test_a_crash_of_the_packages_has_none(row: Callable[..., Options]) -> None:
    options = row(ended("Trainer", parent.CRASHED, "the process was ended by SIGSEGV"))
    assert run(options).state == run_row.RED


def test_an_environment_that_differs_from_the_lock_proves_nothing(
    row: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = row(PASSED)
    monkeypatch.setattr(resolver, "lock", lambda *_: ("lib==1.0", "other==2"))
    outcome = run(options)
    assert outcome.state == run_row.ERROR
    assert outcome.why == "the environment has other None, the lock 2"
    assert not (options.output / "fresh-lib-1.0.json").exists()


def test_a_conflict_and_a_missing_wheel_are_facts(
    row: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = row()
    monkeypatch.setattr(resolver, "lock", lambda *_: Failure("a needs b<1", conflict=True))
    assert run(options).state == run_row.NOT_INSTALLABLE
    assert found(options).not_installable == "a needs b<1"
    monkeypatch.setattr(resolver, "lock", lambda *_: ("tokenizers==0.10.3",))
    failure = Failure("tokenizers==0.10.3 has no wheel for CPython 3.11 here", conflict=True)
    monkeypatch.setattr(environments, "build", lambda *_: failure)
    assert run(options).state == run_row.NOT_INSTALLABLE
    assert found(options).versions["tokenizers"] == "0.10.3"


def test_a_network_that_fails_is_no_verdict(
    row: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = row()
    monkeypatch.setattr(environments, "build", lambda *_: Failure("a connection failed"))
    assert run(options).state == run_row.ERROR
    target = options.output / "fresh-lib-1.0.json"
    assert (target.exists(), unfinished.path_of(target).exists()) == (False, True)


def test_stopping_marks_the_row(
    row: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = row()

    def stopped(*_: Any, stop: threading.Event, **__: Any) -> None:
        stop.set()
        raise parent.StoppedError

    monkeypatch.setattr(parent, "run", stopped)
    with pytest.raises(run_row.StoppedError):
        run(options)
    assert unfinished.path_of(options.output / "fresh-lib-1.0.json").exists()


def test_messages_name_no_folder_of_this_machine(
    row: Callable[..., Options], tmp_path: Path
) -> None:
    place = tmp_path / "env" / "smoke-1" / "lib" / "python3.11" / "site-packages" / "lib" / "a.py"
    options = row(ended("Trainer", parent.FAILED, f"ImportError: no name ({place})"))
    run(options)
    (stage,) = found(options).broken
    assert stage.error == "ImportError: no name (site-packages/lib/a.py)"


def test_the_program_of_the_smoke_test_is_in_the_key_and_the_suite_is_not(
    tmp_path: Path, row: Callable[..., Options]
) -> None:
    options = row()
    fresh = matrix_file.get(options.root, "fresh-lib-1.0")
    child = tmp_path / "changed" / "src" / "metalassay" / "smoke" / "child.py"
    child.parent.mkdir(parents=True)
    child.write_text("another program")
    python = environments.interpreter(fresh)
    here, changed = (
        inputs.key(root, fresh, ["lib==1.0"], python)
        for root in (options.root, tmp_path / "changed")
    )
    assert here != changed


def test_only_the_suite_needs_what_metalassay_requires(
    monkeypatch: pytest.MonkeyPatch, row: Callable[..., Options]
) -> None:
    options = row()
    asked: list[list[str]] = []

    def lock(needed: Sequence[str], _: Path) -> tuple[str, ...]:
        asked.append(list(needed))
        return ()

    monkeypatch.setattr(resolver, "lock", lock)
    for name in ("fresh-lib-1.0", "other"):
        each = matrix_file.get(options.root, name)
        ahead.of_row(each, options.root, environments.interpreter(each))
    assert asked[0] == ["lib==1.0", "other"]
    assert "pytest" in " ".join(asked[1])


def test_the_program_is_where_the_key_looks_for_it() -> None:
    assert parent.__file__ == str(ROOT / "src/metalassay/smoke/parent.py")
    assert (ROOT / "src/metalassay/smoke/child.py").is_file()
