"""A change that fails anywhere leaves every file as it was; one that works can be undone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fix_environment
import pytest
from foreground import foreground

from metalassay import files
from metalassay.environment import managers
from metalassay.environment.managers import Manager
from metalassay.errors import UserError
from metalassay.fix import apply, bug_tests, record
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage

WANTED = ("accelerate~=1.9.0",)
REPLACES = "replace('accelerate', '1.9.0')\n"
BOTH = "(SITE / 'transformers' / 'new.py').write_text('1')\n"


class World:
    """An environment, what its installer does, and what the stages answer before and after."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.prefix = folder / "environment"
        self.project = folder / "project"
        self.before = self.after = {"Trainer": "passed"}
        self.runs = 0
        fix_environment.make(self.prefix)
        fix_environment.install(self.prefix, "accelerate", "1.8.0")
        fix_environment.install(
            self.prefix, "transformers", "4.52.4", requires=["accelerate>=1", "numpy>=1"]
        )
        fix_environment.install(self.prefix, "numpy", "2.0.0", {"numpy/__init__.py": "one = 1\n"})
        site = fix_environment.site(self.prefix)
        (site / "local.pth").write_text("# nobody's file\n")
        (site / "numpy" / "run.sh").write_text("#!/bin/sh\n")
        (site / "numpy" / "run.sh").chmod(0o755)
        self.project.mkdir()
        (self.project / "pyproject.toml").write_bytes(b'[project]\r\nname = "caf\xe9"\r\n')
        (self.project / "pyproject.toml").chmod(0o640)
        (self.project / "uv.lock").write_text("version = 1\n")
        self.manager = fix_environment.manager(self.prefix, managers.UV_PROJECT, self.project)
        self.installer(REPLACES)
        monkeypatch.delenv("SUDO_USER", raising=False)
        monkeypatch.setattr(smoke, "run", self.run)
        self.state = self.tree()

    def tree(self) -> dict[str, str]:
        return {
            **fix_environment.tree(self.prefix),
            **{f"project/{k}": v for k, v in fix_environment.tree(self.project).items()},
        }

    def installer(self, code: str) -> None:
        project = (
            "import pathlib\nfor name in ('pyproject.toml', 'uv.lock'):\n"
            f"    (pathlib.Path({str(self.project)!r}) / name).write_text('changed')\n"
        )
        words = fix_environment.installer(self.folder, project + code)
        self.monkeypatch.setattr(managers, "install_command", lambda *_, **__: words)

    def run(self, python: str, stages: Sequence[str], **_: Any) -> tuple[Stage, ...]:
        self.runs += 1
        answers = self.before if self.runs == 1 else self.after
        return tuple(Stage(name, status, "boom") for name, status in answers.items())

    def apply(self, fixes: Sequence[str] = ()) -> apply.Result:
        return apply.apply(self.manager, WANTED, fixes, say=lambda _: None)

    def undo(self) -> record.Record:
        return apply.undo(self.manager, lambda _: None)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return an environment whose installer replaces accelerate 1.8.0 by 1.9.0."""
    return World(tmp_path, monkeypatch)


def dead(prefix: Path) -> str:
    return f"fix_environment.interpreter_that_dies(pathlib.Path({str(prefix)!r}))\n"


# What the installer does, the stages afterwards, and a word of the reason.
FAILURES: dict[str, tuple[str, dict[str, str], str]] = {
    "at once": ("sys.exit('error: no network')", {}, "no network"),
    "half-way, old one gone": ("remove('accelerate')\nsys.exit('error: disk')", {}, "disk"),
    "half-way, new one without a record": (
        f"{REPLACES}{BOTH}(SITE / 'accelerate-1.9.0.dist-info' / 'RECORD').unlink()\n"
        "(SITE / '~ccelerate').mkdir()\n(SITE / '~ccelerate' / 'x').write_text('')\nsys.exit('error: e')",
        {},
        "installation failed",
    ),
    "killed": (f"{REPLACES}os.kill(os.getpid(), signal.SIGKILL)", {}, "was ended by signal 9"),
    "another version": ("replace('accelerate', '1.10.0')", {}, "accelerate is 1.10.0, not"),
    "nothing there": ("remove('accelerate')", {}, "accelerate is not installed, not"),
    "a requirement": (
        f"{REPLACES}replace('numpy', '0.9')\n",
        {},
        "transformers 4.52.4 requires numpy>=1 now",
    ),
    "worked before": (REPLACES, {"Trainer": "failed"}, "Trainer worked before and does not now"),
    "crashes": (REPLACES, {"Trainer": "crashed"}, "Trainer worked before and does not now"),
    "newly fails": (
        REPLACES,
        {"Trainer": "passed", "LoRA": "failed"},
        "LoRA fails: boom",
    ),
    "is gone": (REPLACES, {"Accelerator": "passed"}, "Trainer worked before and is not there"),
    "in place": (
        f"{REPLACES}(SITE / 'local.pth').write_text('# other')\n"
        "(SITE / 'numpy' / 'run.sh').chmod(0o600)\nsys.exit('error: e')",
        {},
        "installation failed",
    ),
    "loose files and links": (
        f"{REPLACES}(SITE / 'loose.py').write_text('1')\n(PREFIX / 'bin' / 'tool').write_text('1')\n"
        "(SITE / 'linked').symlink_to(SITE / 'numpy')\nshutil.rmtree(SITE / 'transformers')\n"
        "(SITE / 'transformers').write_text('a file now')\nsys.exit('error: e')",
        {},
        "installation failed",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_leaves_every_file_as_it_was(name: str, world: World) -> None:
    code, after, why = FAILURES[name]
    world.installer(code)
    world.after = after or world.after
    result = world.apply()
    assert result.state == apply.ROLLED_BACK
    assert why in "; ".join(result.why)
    assert world.tree() == world.state
    kept = record.load(world.prefix)
    assert kept is not None
    assert kept.state == record.UNDONE


def test_a_python_that_no_longer_starts_is_brought_back(world: World) -> None:
    world.installer(REPLACES + dead(world.prefix))
    result = world.apply()
    assert result.state == apply.ROLLED_BACK
    assert "cannot be verified" in result.why[0]
    assert world.tree() == world.state


def test_the_tests_of_a_bug_that_fail_bring_the_old_state_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bug_tests, "run", lambda *_: (bug_tests.FAILED, "FAILED test_x"))
    result = world.apply(["some-bug"])
    assert result.why == ("the tests of the fixed bugs fail: FAILED test_x",)
    assert world.tree() == world.state


def test_a_trial_that_cannot_be_run_brings_the_old_state_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> tuple[Stage, ...]:
        if world.runs:
            raise UserError("python: does not start", "")
        return world.run("", ())

    monkeypatch.setattr(smoke, "run", fails)
    result = world.apply()
    assert result.why == ("the change cannot be verified: python: does not start",)
    assert world.tree() == world.state


def test_a_trial_that_cannot_be_run_before_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> tuple[Stage, ...]:
        raise UserError("python: does not start", "")

    monkeypatch.setattr(smoke, "run", fails)
    with pytest.raises(UserError, match="does not start"):
        world.apply()
    assert world.tree() == world.state
    assert record.load(world.prefix) is None


def full_disk(monkeypatch: pytest.MonkeyPatch, states: Sequence[str]) -> None:
    """Let the disk be full whenever one of these states is to be written."""
    real = files.write_atomically

    def write(path: Path, text: str) -> None:
        if any(f'"state": "{state}"' in text for state in states):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, text)

    monkeypatch.setattr(record, "write_atomically", write)


@pytest.mark.parametrize("state", [record.RECORDED, record.INSTALLING])
def test_a_full_disk_before_the_install_changes_nothing(
    state: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, [state])
    with pytest.raises(UserError, match="No space left on device") as caught:
        world.apply()
    assert "nothing was changed" in str(caught.value)
    assert world.tree() == world.state
    found = record.load(world.prefix)
    assert found is None or not found.unfinished


def test_a_full_disk_while_files_are_kept_changes_nothing_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "_link", full)
    with pytest.raises(UserError, match="No space left on device"):
        world.apply()
    assert world.tree() == world.state
    assert not list((world.prefix / ".metalassay").glob("kept*"))


@pytest.mark.parametrize("state", [record.VERIFYING, record.DONE])
def test_a_full_disk_after_the_install_brings_the_old_state_back(
    state: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, [state])
    result = world.apply()
    assert result.state == apply.ROLLED_BACK
    assert "No space left on device" in result.why[0]
    assert world.tree() == world.state


def test_a_full_disk_does_not_keep_the_old_state_from_coming_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, [record.VERIFYING, record.UNDONE])
    assert world.apply().state == apply.ROLLED_BACK
    assert world.tree() == world.state


def test_a_change_that_works_stays_and_is_undone_once(world: World) -> None:
    result = world.apply()
    assert (result.state, result.why) == (apply.FIXED, ())
    assert world.tree() != world.state
    world.undo()
    assert world.tree() == world.state
    with pytest.raises(UserError, match="is left to undo"):
        world.undo()
    assert world.tree() == world.state


def test_what_was_broken_before_may_stay_so(world: World) -> None:
    world.before = world.after = {"Trainer": "passed", "LoRA": "failed"}
    result = world.apply()
    assert result.state == apply.FIXED
    assert result.why == ("LoRA fails as it did before: boom",)


def test_nothing_is_undone_where_nothing_was_changed(world: World) -> None:
    with pytest.raises(UserError, match="is left to undo"):
        world.undo()
    assert world.tree() == world.state


def test_undo_needs_no_python_that_starts(world: World) -> None:
    world.apply()
    fix_environment.interpreter_that_dies(world.prefix)
    world.undo()
    assert world.tree() == world.state


def test_undo_removes_what_was_installed_since_and_moves_away_what_nobody_owns(
    world: World,
) -> None:
    world.apply()
    fix_environment.install(world.prefix, "later", "1.0")
    (fix_environment.site(world.prefix) / "mine.txt").write_text("precious")
    world.undo()
    assert world.tree() == world.state
    away = world.prefix / ".metalassay" / "taken-away"
    assert [path.read_text() for path in away.rglob("mine.txt")] == ["precious"]
    assert not list(away.rglob("later"))


def test_undo_that_lost_what_it_needs_changes_nothing(world: World) -> None:
    world.apply()
    now = world.tree()
    for file in world.prefix.glob(".metalassay/kept-*/**/accelerate/__init__.py"):
        file.unlink()
    with pytest.raises(apply.RollbackError, match="files that were kept are lost"):
        world.undo()
    assert world.tree() == now


def test_undo_interrupted_half_way_is_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.apply()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record, "_link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.undo()
    half = record.load(world.prefix)
    assert half is not None
    assert half.unfinished
    with pytest.raises(UserError, match="did not end"):
        world.apply()
    world.undo()
    assert world.tree() == world.state


def test_a_failure_to_go_back_says_how_to_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.installer("sys.exit('error: e')")
    monkeypatch.setattr(record, "restore", lambda _: ("a is missing or changed",))
    with pytest.raises(apply.RollbackError) as caught:
        world.apply()
    assert "could not be brought back: a is missing" in caught.value.message
    assert caught.value.next_step.startswith(f"metalassay fix --undo --env {world.prefix}")


@pytest.mark.parametrize("deaf", [False, True])
def test_ctrl_c_during_the_install_is_undone(deaf: bool, world: World) -> None:
    if deaf:
        world.monkeypatch.setattr(apply, "_GRACE", 0.1)
    world.installer(
        f"{REPLACES}os.kill(os.getppid(), signal.SIGINT)\ntime.sleep({30 if deaf else 0.5})"
    )
    with foreground(), pytest.raises(KeyboardInterrupt):
        world.apply()
    kept = record.load(world.prefix)
    assert kept is not None
    assert kept.state == record.INSTALLING
    world.undo()
    assert world.tree() == world.state


ALONE = """
import sys
from pathlib import Path
import fix_environment
from metalassay.environment import managers
from metalassay.fix import apply
from metalassay.smoke import parent as smoke
prefix, project, installer = map(Path, sys.argv[1:])
smoke.run = lambda *_, **__: ()
managers.install_command = lambda *_, **__: [sys.executable, str(installer)]
manager = fix_environment.manager(prefix, managers.UV_PROJECT, project)
apply.apply(manager, ["accelerate~=1.9.0"], [])
"""


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start programs that do not outlive the test."""
    programs = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [sys.executable, "-c", *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()


def test_a_change_that_is_killed_during_the_install_is_undone_once_the_installer_has_ended(
    world: World, started: Callable[..., subprocess.Popen[bytes]]
) -> None:
    world.installer(
        "remove('accelerate')\n(HERE / 'begun').touch()\n"
        "while not (HERE / 'end').exists(): time.sleep(0.01)\n" + REPLACES
    )
    program = started(
        ALONE, str(world.prefix), str(world.project), str(world.folder / "installer.py")
    )
    wait_for((world.folder / "begun").exists)
    program.kill()
    program.wait()
    with pytest.raises(UserError, match="another `metalassay fix` is changing"):
        world.undo()
    (world.folder / "end").touch()
    wait_for(lambda: unlocked(world.prefix))
    world.undo()
    assert world.tree() == world.state


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until something has happened; fail after a minute."""
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def unlocked(prefix: Path) -> bool:
    with (prefix / ".metalassay" / "lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_two_changes_at_once_are_refused(world: World) -> None:
    with (
        apply.alone(world.prefix),
        pytest.raises(UserError, match="another `metalassay fix` is changing"),
    ):
        world.apply()
    assert world.tree() == world.state


def test_an_environment_is_changed_and_undone_through_a_link(world: World, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(world.prefix)
    world.manager = fix_environment.manager(tmp_path / "link", managers.UV_PROJECT, world.project)
    world.installer(f"{REPLACES}fix_environment.install(PREFIX, 'later', '1')\n")
    assert world.apply().state == apply.FIXED
    assert record.load(world.prefix) is not None
    world.undo()
    assert world.tree() == world.state


def refused(manager: Manager, requirements: Sequence[str] = WANTED) -> str:
    """Return why a change is refused, by both ways to ask."""
    error = apply.refusal(manager, requirements)
    assert error is not None
    with pytest.raises(UserError) as caught:
        apply.apply(manager, requirements, [])
    assert caught.value.message == error.message
    return error.message


def test_nothing_is_changed_with_sudo(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply()
    now = world.tree()
    monkeypatch.setenv("SUDO_USER", "somebody")
    assert "sudo" in refused(world.manager)
    with pytest.raises(UserError, match="sudo"):
        world.undo()
    assert world.tree() == now


def test_what_belongs_to_the_operating_system_or_to_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    python = str(tmp_path / "python")
    system = Manager(managers.SYSTEM, python, tmp_path, externally_managed=True)
    assert "forbids installing" in refused(system)
    poetry = Manager(managers.POETRY, python, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(poetry).startswith("poetry manages this environment and is not on PATH")
    without_pip = Manager(managers.UV_PROJECT, python, tmp_path, has_pip=False)
    assert "there is no installer" in refused(without_pip)
    conda = Manager(managers.CONDA, sys.executable, tmp_path, from_conda=("accelerate",))
    assert "conda installed accelerate" in refused(conda, ["accelerate~=1.9.0", "torch<3"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "you may not write into" in refused(conda)
    assert list(tmp_path.iterdir()) == []


def test_the_installer_sees_its_environment_and_its_project(world: World) -> None:
    world.installer(
        "(HERE / 'seen').write_text('|'.join([os.getcwd(), os.environ['VIRTUAL_ENV'],"
        "os.environ['UV_PROJECT_ENVIRONMENT'], os.environ.get('PYTHONPATH', '-')]))\n" + REPLACES
    )
    world.monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert world.apply().state == apply.FIXED
    seen = (world.folder / "seen").read_text().split("|")
    assert seen == [str(world.project), str(world.prefix), str(world.prefix), "-"]


def test_an_installer_that_does_not_exist_is_a_failed_installation(world: World) -> None:
    world.monkeypatch.setattr(managers, "install_command", lambda *_, **__: ["/none/at/all"])
    world.monkeypatch.setattr(apply, "refusal", lambda *_: None)
    result = world.apply()
    assert result.why == ("the installation failed: /none/at/all: No such file or directory",)
