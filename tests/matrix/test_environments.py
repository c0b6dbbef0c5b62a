"""The environment of a row: built from its lock by the real uv, locked while in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.matrix import environments, resolver
from metalassay.matrix.environments import Interpreter
from metalassay.matrix.matrix_file import Row
from metalassay.matrix.resolver import Failure

ROOT = Path(__file__).parents[2]


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace uv by one that makes an environment of one link, and remembers what it was asked."""
    asked: list[list[str]] = []

    def run_uv(arguments: Sequence[str], **_: object) -> str:
        asked.append(list(arguments))
        if arguments[0] == "venv":
            python = environments.python_of(Path(arguments[-1]))
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        return ""

    monkeypatch.setattr(environments, "run_uv", run_uv)
    return asked


@pytest.fixture
def here() -> Interpreter:
    return environments.interpreter(Row("x", (), "", ()))


def build(folder: Path, lock: Sequence[str], python: Interpreter) -> Failure | None:
    with environments.alone(folder) as held:
        return environments.build(folder, ROOT, lock, python, held)


def test_a_built_environment_is_left_alone(
    tmp_path: Path, commands: list[list[str]], here: Interpreter
) -> None:
    folder = tmp_path / "compat-x"
    assert not environments.is_built(folder, ROOT, ["lib==1"], here)
    assert build(folder, ["lib==1"], here) is None
    assert [command[:2] for command in commands] == [
        ["venv", "--quiet"],
        ["pip", "sync"],
        ["pip", "install"],
    ]
    assert (folder / "metalassay-lock.txt").read_text() == "lib==1\n"
    assert environments.is_built(folder, ROOT, ["lib==1"], here)
    commands.clear()
    assert build(folder, ["lib==1"], here) is None
    assert commands == []


def test_another_lock_changes_the_packages_and_keeps_the_environment(
    tmp_path: Path, commands: list[list[str]], here: Interpreter
) -> None:
    build(tmp_path / "x", ["lib==1"], here)
    commands.clear()
    build(tmp_path / "x", ["lib==2"], here)
    assert [command[1] for command in commands] == ["sync", "install"]


def test_another_interpreter_makes_a_new_environment(
    tmp_path: Path, commands: list[list[str]], here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "x", ["lib==1"], here)
    shutil.rmtree(tmp_path / "x" / "bin")
    commands.clear()
    build(tmp_path / "x", ["lib==1"], Interpreter(here.path, "CPython 3.99.0"))
    assert commands[0][0] == "venv"


@pytest.mark.parametrize("fails", ["venv", "sync", "install"])
def test_a_failure_on_the_way_is_told_and_is_not_taken_for_a_built_environment(
    tmp_path: Path,
    commands: list[list[str]],
    here: Interpreter,
    monkeypatch: pytest.MonkeyPatch,
    fails: str,
) -> None:
    working: Any = vars(environments)["run_uv"]

    def run_uv(arguments: Sequence[str], **_: object) -> str | Failure:
        if fails in arguments[:2]:
            return Failure("No space left on device")
        return str(working(arguments))

    monkeypatch.setattr(environments, "run_uv", run_uv)
    failure = build(tmp_path / "x", ["lib==1"], here)
    assert failure is not None
    assert "No space left on device" in failure.why
    assert not failure.conflict
    assert not environments.is_built(tmp_path / "x", ROOT, ["lib==1"], here)


def test_an_environment_that_was_half_changed_is_not_taken_for_the_earlier_one(
    tmp_path: Path, commands: list[list[str]], here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "x", ["lib==1"], here)
    monkeypatch.setattr(environments, "run_uv", lambda *_, **__: Failure("killed"))
    assert build(tmp_path / "x", ["lib==2"], here) is not None
    assert not environments.is_built(tmp_path / "x", ROOT, ["lib==1"], here)


@pytest.fixture(autouse=True)
def nothing_found_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_FOUND", {})


def test_a_python_that_does_not_exist_is_named_with_its_row() -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    row = Row("x", ("torch",), "r", ("full",), pythons=("3.99",))
    with pytest.raises(UserError, match=r"matrix\.toml: row x: there is no Python 3\.99") as caught:
        environments.interpreter(row)
    assert caught.value.next_step == "uv python install 3.99, or correct the row"


def test_an_interpreter_behind_a_shim_of_pyenv_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("3.9.9", "3.9.18", "3.90.1", "3.8.18"):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho CPython {version}\n")
        python.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(environments, "run_uv", lambda *_, **__: Failure("a shim failed"))
    assert environments.interpreter(Row("x", (), "", (), pythons=("3.9",))).name == "CPython 3.9.18"
    with pytest.raises(UserError, match=r"no Python 3\.7"):
        environments.interpreter(Row("x", (), "", (), pythons=("3.7",)))


class Machine:
    """A uv that knows some interpreters, and can fetch others unless ``why_not`` says why it does not."""

    def __init__(self, folder: Path, installed: Sequence[str], why_not: str = "") -> None:
        self.folder, self.why_not = folder, why_not
        self.commands: list[str] = []
        for version in installed:
            self.add(version)

    def add(self, version: str) -> Path:
        program = self.folder / version
        program.write_text(f"#!/bin/sh\necho CPython {version}.5\n")
        program.chmod(0o755)
        return program

    def run_uv(self, arguments: Sequence[str], **_: object) -> str | Failure:
        self.commands.append(" ".join(arguments[:2]))
        if arguments[0] == "venv":
            if self.why_not:
                return Failure(self.why_not)
            self.add(arguments[arguments.index("--python") + 1])
            return ""
        program = self.folder / arguments[-1]
        return f"{program}\n" if program.exists() else Failure("No interpreter found")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no pyenv"))

    def make(*installed: str, why_not: str = "") -> Machine:
        made = Machine(tmp_path, installed, why_not)
        monkeypatch.setattr(environments, "run_uv", made.run_uv)
        return made

    return make


THREE = Row("x", (), "", (), pythons=("3.91", "3.92", "3.93"))


def test_the_first_python_of_a_row_that_is_here_is_taken_and_uv_is_asked_once(
    machine: Callable[..., Machine],
) -> None:
    here = machine("3.92", "3.93", "3.94")
    assert environments.interpreter(THREE).name == "CPython 3.92.5"
    assert environments.interpreter(Row("y", (), "", (), pythons=("3.92",))).name.endswith("92.5")
    assert here.commands == ["python find"] * 2


def test_the_interpreter_that_runs_this_comes_first_and_uv_is_not_asked(
    machine: Callable[..., Machine], here: Interpreter
) -> None:
    this = "{}.{}".format(*sys.version_info)
    known = machine("3.91", this)
    assert environments.interpreter(Row("x", (), "", (), pythons=("3.91", this))) == here
    assert known.commands == []


def test_an_interpreter_without_gil_is_not_the_one_that_has_wheels(
    machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    this = "{}.{}".format(*sys.version_info)
    machine(this)
    monkeypatch.setattr("sysconfig.get_config_var", {"Py_GIL_DISABLED": 1}.get)
    found = environments.interpreter(Row("x", (), "", (), pythons=(this,)))
    assert found.name == f"CPython {this}.5"


def test_where_there_is_none_uv_fetches_the_first_and_the_user_is_told_before(
    machine: Callable[..., Machine],
) -> None:
    bare = machine("3.14", "3.15")
    said: list[str] = []
    assert environments.interpreter(THREE, said.append).name == "CPython 3.91.5"
    (line,) = said
    assert line.startswith(
        "x: there is no Python 3.91 or 3.92 or 3.93 on this machine: uv downloads"
    )
    assert bare.commands == [*["python find"] * 3, "venv --quiet", "python find"]


def test_nothing_is_downloaded_where_nobody_can_be_told(machine: Callable[..., Machine]) -> None:
    bare = machine()
    with pytest.raises(UserError, match=r"row x: there is no Python 3\.91 or 3\.92 or 3\.93 on"):
        environments.interpreter(THREE)
    assert set(bare.commands) == {"python find"}


def test_a_download_that_fails_or_is_forbidden_is_told_with_its_reason(
    machine: Callable[..., Machine],
) -> None:
    machine(why_not="Python downloads are set to 'never'")
    with pytest.raises(UserError) as caught:
        environments.interpreter(THREE, lambda _: None)
    assert caught.value.message.endswith(
        "on this machine, and uv did not download one: Python downloads are set to 'never'"
    )
    assert caught.value.next_step == "uv python install 3.91, or correct the row"


def test_the_interpreter_of_a_row_is_asked_for_its_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    wanted = "{}.{}".format(*sys.version_info)
    monkeypatch.setattr(environments, "runs_this", lambda _: False)  # else uv is not asked
    found = environments.interpreter(Row("x", (), "", (), pythons=(wanted,)))
    assert found.name.startswith(f"CPython {wanted}.")
    assert found.path.exists()


def test_the_name_of_a_folder_holds_letters_digits_and_dashes() -> None:
    folder = environments.folder_of("accelerate-1.8.0", Path(".nox"))
    assert folder == Path(".nox/compat-accelerate-1-8-0")


def test_a_lock_waits_for_its_holder(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with environments.alone(tmp_path / "x", waits=lambda: order.append("waits")):
            order.append("second")

    with environments.alone(tmp_path / "x"):
        other = threading.Thread(target=second)
        other.start()
        other.join(timeout=0.3)
        order.append("first")
    other.join(timeout=10)
    assert order == ["waits", "first", "second"]


def test_rows_share_a_lock_that_a_benchmark_has_alone(tmp_path: Path) -> None:
    order: list[str] = []

    def benchmark() -> None:
        with environments.alone(tmp_path / "x"):
            order.append("benchmark")

    with environments.alone(tmp_path / "x", shared=True):
        with environments.alone(tmp_path / "x", shared=True):  # does not wait
            other = threading.Thread(target=benchmark)
            other.start()
            other.join(timeout=0.3)
        order.append("rows")
    other.join(timeout=10)
    assert order == ["rows", "benchmark"]


def test_a_child_that_inherits_the_lock_keeps_it_when_its_parent_lets_go(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with environments.alone(tmp_path / "x") as held:
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=reader, pass_fds=[held]
        )
    os.close(reader)
    free = threading.Event()

    def wait() -> None:
        with environments.alone(tmp_path / "x"):
            free.set()

    threading.Thread(target=wait, daemon=True).start()
    assert not free.wait(0.3)
    os.close(writer)
    child.wait(timeout=10)
    assert free.wait(10)


@pytest.mark.slow  # builds with the real uv
def test_the_real_uv_makes_the_environment_have_exactly_the_lock(
    tmp_path: Path, here: Interpreter
) -> None:
    lock = resolver.lock(["iniconfig", "packaging"], here.path)
    assert not isinstance(lock, Failure), lock.why
    assert build(tmp_path / "x", lock, here) is None
    python = str(environments.python_of(tmp_path / "x"))
    listed = resolver.run_uv(["pip", "freeze", "--python", python])
    assert isinstance(listed, str)
    installed = [line for line in listed.splitlines() if not line.startswith("-e")]
    assert sorted(installed) == list(lock)
    assert "-e file://" in listed


def test_smoke_tests_at_the_same_time_have_environments_of_their_own(tmp_path: Path) -> None:
    with environments.first_free(tmp_path) as (first, _):
        with environments.first_free(tmp_path) as (second, _):
            assert (first.name, second.name) == ("smoke-1", "smoke-2")
        with environments.first_free(tmp_path) as (again, _):
            assert again == second
    with environments.first_free(tmp_path) as (again, _):
        assert again == first


def test_an_environment_without_metalassay_builds_nothing_from_source(
    tmp_path: Path, commands: list[list[str]], here: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "smoke-1"
    assert environments.build(folder, None, ["lib==1"], here, 0) is None
    assert environments.is_built(folder, None, ["lib==1"], here)
    assert not environments.is_built(folder, ROOT, ["lib==1"], here)
    (sync,) = [command for command in commands if command[0] == "pip"]
    assert "--no-build" in sync
    why = "Because lib==2 has no usable wheels and you require lib==2, we can conclude that …"
    monkeypatch.setattr(environments, "run_uv", lambda *_, **__: Failure(why))
    failure = environments.build(folder, None, ["lib==2"], here, 0)
    assert failure == Failure(f"lib==2 has no wheel for {here.name} here", conflict=True)
