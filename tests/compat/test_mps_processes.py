"""How compat/mps_processes.py reports the ways in which a child process can end."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

COMPAT = Path(__file__).parents[2] / "compat"


@pytest.fixture
def processes() -> Any:
    """Load the module from its path, as pytest does for the tests of compat/."""
    spec = importlib.util.spec_from_file_location("processes", COMPAT / "mps_processes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_child_prints_is_returned(processes: Any) -> None:
    assert processes.run("-c", "print(6 * 7)").strip() == "42"


@pytest.mark.parametrize(
    ("code", "kind", "message"),
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
def test_the_end_of_the_child_is_raised_as_an_exception(
    processes: Any, code: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as raised:
        processes.run("-c", code)
    assert raised.type is kind


def test_a_child_that_lacks_what_it_needs_is_a_skip_with_its_reason(processes: Any) -> None:
    code = f"import sys; print('needs 8 GB', file=sys.stderr); sys.exit({processes.UNSUPPORTED})"
    with pytest.raises(pytest.skip.Exception, match="needs 8 GB"):
        processes.run("-c", code)


def test_a_child_that_hangs_is_ended(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS", 0.5)
    with pytest.raises(TimeoutError, match=r"did not end within 0\.5 s"):
        processes.run("-c", "import time; time.sleep(60)")


def test_environment_variables_are_set_and_removed(
    processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOVED", "1")
    code = "import os; print([os.environ.get(name) for name in ('GIVEN', 'EMPTY', 'REMOVED')])"
    printed = processes.run("-c", code, env={"GIVEN": "x", "EMPTY": "", "REMOVED": None})
    assert printed.strip() == "['x', '', None]"


@pytest.mark.parametrize(
    ("platform", "state", "reason"),
    [
        ("linux", "usable", "needs MPS, which only macOS has"),
        ("darwin", "dead", "MPS is not usable here: out of memory"),
        ("darwin", "wrong", "MPS is not usable here: out of memory"),
        ("darwin", "usable", None),
    ],
)
def test_the_reason_why_mps_cannot_be_used_is_given(
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
    given = processes.why_not_mps()
    assert given is None if reason is None else given.startswith(reason)


def test_without_torch_the_test_is_skipped(processes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "installed", dict)
    with pytest.raises(pytest.skip.Exception, match="torch is not installed"):
        processes.require_mps()


def test_deciding_to_skip_does_not_import_torch(processes: Any) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(COMPAT)!r}); import mps_processes;"
        "mps_processes.why_not_mps(); print('torch' in sys.modules)"
    )
    assert processes.run("-c", code).strip() == "False"


# A child whose functions end in every way; "fickle" fails after others and passes alone.
CHILD = """
import json, os, sys, time

def answer(name):
    if name == "dies": os.abort()
    if name == "hangs": time.sleep(600)
    return {
        "fine": {"code": 0, "text": ""},
        "wrong": {"code": 1, "text": "AssertionError: 3 values differ"},
        "fickle": {"code": 1, "text": "AssertionError: memory of the last one"},
        "unable": {"code": 77, "text": "needs macOS 15"},
        "who": {"code": 1, "text": str(os.getpid())},
    }[name]

if sys.argv[1] == "--serve":
    for line in sys.stdin:
        print(json.dumps(answer(line.split()[0])), flush=True)
elif sys.argv[1] == "dies":
    os.abort()
elif sys.argv[1] != "fickle":
    raise AssertionError("alone: " + sys.argv[1])
"""


@pytest.fixture
def child(processes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "mps_child.py").write_text(CHILD)
    monkeypatch.setattr(processes, "HERE", tmp_path)
    yield processes
    processes._shared().close()


def test_a_function_that_passes_after_others_needs_no_process_of_its_own(child: Any) -> None:
    child.run_function("fine", "cpu", shared=True)
    with pytest.raises(AssertionError, match="alone: fine"):  # what a process of its own says here
        child.run_function("fine", "cpu")


def test_the_process_is_shared_until_a_function_ends_it(child: Any) -> None:
    shared = child._shared()
    first = shared.fails("who", "cpu")
    assert shared.fails("who", "cpu") == first
    assert shared.fails("dies", "cpu") == "it ended the process with exit code -6"
    assert shared.fails("who", "cpu") != first


@pytest.mark.parametrize(
    ("function", "message"), [("wrong", "alone: wrong"), ("dies", "ended by SIGABRT")]
)
def test_what_does_not_pass_is_decided_by_a_process_of_its_own(
    child: Any, function: str, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        child.run_function(function, "cpu", shared=True)


def test_what_fails_only_after_others_passes_with_a_warning(child: Any) -> None:
    with pytest.warns(UserWarning, match="not after others: AssertionError: memory of the last"):
        child.run_function("fickle", "cpu", shared=True)


def test_what_hangs_after_others_is_ended(child: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = child.SharedChild(patience=0.5)
    assert shared.fails("hangs", "cpu") == "it did not end within 0.5 s"
    shared.patience = 60
    assert shared.fails("fine", "cpu") is None
    shared.close()


def test_what_is_not_supported_is_a_skip_at_once(child: Any) -> None:
    with pytest.raises(pytest.skip.Exception, match="needs macOS 15"):
        child.run_function("unable", "cpu", shared=True)


@pytest.mark.slow  # imports torch
def test_the_real_child_answers_for_one_function_after_the_other(processes: Any) -> None:
    if "torch" not in versions.installed():
        pytest.skip("torch is not installed")
    shared = processes._shared()
    assert shared.fails("maximum_passes_nan_on", "cpu") is None
    assert shared.fails("argmax_finds_nan", "cpu") is None
    assert "no_such" in shared.fails("no_such", "cpu")
    assert "nowhere" in shared.fails("maximum_passes_nan_on", "nowhere")
    shared.close()


@pytest.mark.parametrize(("mark", "shares"), [("slow", True), ("long", False), ("xfail", False)])
def test_only_a_test_that_takes_seconds_and_should_pass_shares_its_process(
    processes: Any, mark: str, shares: bool
) -> None:
    test = types.SimpleNamespace(get_closest_marker=lambda name: name == mark or None)
    assert processes.may_share(test) is shares
