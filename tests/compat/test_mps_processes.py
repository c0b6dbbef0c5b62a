"""What compat/mps_processes.py makes of the ways in which a child process can end."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

COMPAT = Path(__file__).parents[2] / "compat"


@pytest.fixture
def processes() -> Any:
    """Load the module as the tests of compat/ do, by its path."""
    spec = importlib.util.spec_from_file_location("processes", COMPAT / "mps_processes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_child_prints_is_returned(processes: Any) -> None:
    assert processes.run("-c", "print(6 * 7)").strip() == "42"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("assert False, 'maximum dropped a NaN'", AssertionError, "maximum dropped a NaN"),
        ("raise NotImplementedError('no kernel')", NotImplementedError, "no kernel"),
        ("raise RuntimeError('first\\nsecond')", RuntimeError, "first\nsecond"),
        ("import os; os.abort()", AssertionError, "the process was ended by SIGABRT"),
        ("import sys; sys.exit(3)", ChildProcessError, "exit code 3"),
        ("import sys; sys.exit('no exception')", ChildProcessError, "no exception"),
        ("import subprocess as s; raise s.SubprocessError('x')", ChildProcessError, "x"),
    ],
)
def test_how_the_child_ended_is_raised(
    processes: Any, code: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        processes.run("-c", code)
    assert raised.type is kind


def test_a_child_that_cannot_be_asked_is_a_skip_with_its_reason(processes: Any) -> None:
    code = f"import sys; print('needs 8 GB', file=sys.stderr); sys.exit({processes.CANNOT_ASK})"
    with pytest.raises(pytest.skip.Exception, match="needs 8 GB"):
        processes.run("-c", code)


def test_a_child_that_hangs_is_ended(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS", 0.5)
    with pytest.raises(TimeoutError, match=r"did not end within 0\.5 s"):
        processes.run("-c", "import time; time.sleep(60)")


def test_variables_are_set_and_taken_away(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAKEN", "1")
    code = "import os; print([os.environ.get(name) for name in ('GIVEN', 'EMPTY', 'TAKEN')])"
    said = processes.run("-c", code, env={"GIVEN": "x", "EMPTY": "", "TAKEN": None})
    assert said.strip() == "['x', '', None]"


@pytest.mark.parametrize(
    ("platform", "state", "reason"),
    [
        ("linux", "usable", "needs MPS, which is Apple's"),
        ("darwin", "dead", "MPS is not usable here: out of memory"),
        ("darwin", "wrong", "MPS is not usable here: out of memory"),
        ("darwin", "usable", None),
    ],
)
def test_the_reason_of_a_skip_is_told(
    processes: Any,
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
    state: str,
    reason: str | None,
) -> None:
    probe = types.ModuleType("metalassay.mps.probe")
    probe.probe = lambda: types.SimpleNamespace(  # type: ignore[attr-defined]
        state=state, reason="out of memory"
    )
    monkeypatch.setitem(sys.modules, "metalassay.mps", types.ModuleType("metalassay.mps"))
    monkeypatch.setitem(sys.modules, "metalassay.mps.probe", probe)
    monkeypatch.setattr(versions, "installed", lambda: {"torch": "2.13.0"})
    monkeypatch.setattr(sys, "platform", platform)
    said = processes.why_not_mps()
    assert said is None if reason is None else said.startswith(reason)


def test_without_torch_nothing_is_tried(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", dict)
    with pytest.raises(pytest.skip.Exception, match="torch is not installed"):
        processes.require_mps()


def test_no_torch_is_imported_only_to_skip(processes: Any) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(COMPAT)!r}); import mps_processes;"
        "mps_processes.why_not_mps(); print('torch' in sys.modules)"
    )
    assert processes.run("-c", code).strip() == "False"
