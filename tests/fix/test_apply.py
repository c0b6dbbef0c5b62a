"""A change that fails at any step leaves the environment as it was, byte for byte."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fake_environment import Environment

from metalassay import files
from metalassay.environment import managers
from metalassay.errors import UserError
from metalassay.fix import apply, bug_tests, record, verify
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage

WANTED = ("accelerate~=1.9.0",)
ROOT = Path(__file__).parents[2]

GOOD = (
    "env.add('accelerate', '1.9.0', {'accelerate/new.py': 'new'});"
    "env.add('follower', '2.0'); env.remove('gone')"
)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return an environment with accelerate 1.8.0, whose stages all work and whose bug tests pass."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    made = Environment(tmp_path / "env")
    made.add("accelerate", "1.8.0", {"accelerate/old.py": "old"})
    made.add("follower", "1.0", requires=("accelerate>=1",))
    made.add("gone", "1.0")
    installs(monkeypatch, made, GOOD)
    stages(monkeypatch, [], [])
    monkeypatch.setattr(bug_tests, "run", lambda python, ids: (bug_tests.PASSED, "3 passed"))
    return made


def installs(monkeypatch: pytest.MonkeyPatch, environment: Environment, code: str) -> None:
    """Let the installer be a program that runs ``code``, in which ``env`` is the environment."""
    program = environment.prefix.parent / "installer.py"
    program.write_text(
        f"import os, sys, time\nsys.path.insert(0, {str(ROOT / 'tests/support')!r})\n"
        "from pathlib import Path\nfrom fake_environment import Environment\n"
        "env = Environment.__new__(Environment)\n"
        f"env.prefix, env.site = Path({str(environment.prefix)!r}), Path({str(environment.site)!r})\n"
        + textwrap.dedent(code)
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setattr(managers, "install_command", lambda *_: [sys.executable, str(program)])


def stages(monkeypatch: pytest.MonkeyPatch, *broken: Sequence[str], absent: str = "") -> None:
    """Let the smoke test find these stages broken, the first time and the second."""
    answers = list(broken)

    def run(python: str, names: Sequence[str], **_: object) -> tuple[Stage, ...]:
        bad = answers.pop(0)
        return tuple(
            Stage(name, smoke.FAILED, "ValueError: broken")
            if name in bad
            else Stage(name, smoke.PASSED)
            for name in ("import accelerate", "Accelerator", "Trainer", "LoRA")
            if name != absent or answers
        )

    monkeypatch.setattr(smoke, "run", run)


def change(environment: Environment, **more: object) -> apply.Result:
    return apply.apply(environment.manager(), WANTED, ("a-bug",), say=lambda _: None, **more)  # type: ignore[arg-type]


def test_a_change_that_works_stays_and_can_be_undone(environment: Environment) -> None:
    before = environment.state()
    result = change(environment)
    assert result.state == apply.FIXED
    assert result.verdict is not None
    assert "Trainer" in result.verdict.tested
    assert any("3 passed" in each for each in result.verdict.tested)
    assert (environment.site / "accelerate" / "new.py").exists()
    assert apply.undo(environment.prefix, lambda _: None).versions["accelerate"] == "1.8.0"
    assert environment.state() == before
    with pytest.raises(UserError, match="left to undo"):
        apply.undo(environment.prefix, lambda _: None)


def tests_fail(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    monkeypatch.setattr(bug_tests, "run", lambda python, ids: (bug_tests.FAILED, "FAILED test_x"))


def interpreter_gone(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    installs(
        monkeypatch,
        environment,
        f"{GOOD}; (env.site / 'x.pth').write_text('import os; os._exit(3)')",
    )


def cannot_verify(monkeypatch: pytest.MonkeyPatch, environment: Environment) -> None:
    def run(*_: object, **__: object) -> verify.Verdict:
        raise UserError("the program that tries the packages did not begin", "next")

    monkeypatch.setattr(verify, "run", run)


Step = Callable[[pytest.MonkeyPatch, Environment], object]
STEPS: dict[str, tuple[Step, str]] = {
    "the installer fails at once": (
        lambda patch, env: installs(patch, env, "sys.exit('error: no network')"),
        "the installation failed: no network",
    ),
    "the installer fails half-way": (
        lambda patch, env: installs(patch, env, f"{GOOD}; os.abort()"),
        "the installation failed",
    ),
    "another version is installed": (
        lambda patch, env: installs(patch, env, "env.add('accelerate', '1.10.0')"),
        "accelerate is 1.10.0, not accelerate~=1.9.0",
    ),
    "nothing is left of the package": (
        lambda patch, env: installs(patch, env, "env.remove('accelerate')"),
        "accelerate is not installed",
    ),
    "a requirement of another package is broken": (
        lambda patch, env: installs(patch, env, f"{GOOD}; env.remove('follower')\n"
        "env.add('follower', '1.0', requires=('accelerate<1.5',))"),
        "follower 1.0 requires accelerate<1.5 now",
    ),
    "what worked does not work": (
        lambda patch, env: stages(patch, [], ["LoRA"]),
        "LoRA worked before and does not now: ValueError: broken",
    ),
    "what worked is not there": (
        lambda patch, env: stages(patch, [], [], absent="LoRA"),
        "LoRA worked before and is not there now",
    ),
    "training is still broken": (
        lambda patch, env: stages(patch, ["Trainer"], ["Trainer"]),
        "Trainer fails: ValueError: broken",
    ),
    "the tests of the bug fail": (tests_fail, "the tests of the fixed bugs fail: FAILED test_x"),
    "it cannot be verified": (cannot_verify, "it cannot be verified"),
    "the interpreter does not start": (interpreter_gone, "it cannot be verified"),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_brings_everything_back(
    step: str, environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project, lock = tmp_path / "pyproject.toml", tmp_path / "uv.lock"
    project.write_text("[project]")
    lock.write_text("version = 1")
    break_it, why = STEPS[step]
    break_it(monkeypatch, environment)
    before = environment.state()
    result = change(environment)
    assert result.state == apply.ROLLED_BACK
    assert why in "; ".join(result.why)
    assert environment.state() == before
    kept = record.load(environment.prefix)
    assert kept is not None
    assert kept.state == record.UNDONE


def test_what_was_broken_before_and_is_no_worse_does_not_bring_it_back(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages(monkeypatch, ["Trainer", "LoRA"], ["LoRA"])
    result = change(environment)
    assert result.state == apply.FIXED
    assert result.why == ("LoRA fails as it did before: ValueError: broken",)


def test_a_full_disk_after_the_installation_brings_it_back(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = environment.state(), files.write_atomically

    def full(path: Path, text: str) -> None:
        if (environment.site / "accelerate" / "new.py").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, text)

    monkeypatch.setattr(record, "write_atomically", full)
    assert change(environment).state == apply.ROLLED_BACK
    assert environment.state() == before


@pytest.mark.parametrize("calls", [1, 2])
def test_a_full_disk_before_the_installation_changes_nothing(
    calls: int, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real, count = environment.state(), files.write_atomically, [0]

    def full(path: Path, text: str) -> None:
        count[0] += 1
        if count[0] == calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, text)

    monkeypatch.setattr(record, "write_atomically", full)
    with pytest.raises(UserError, match="No space left on device"):
        change(environment)
    assert environment.state() == before


def test_an_interruption_can_be_undone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = environment.state(), subprocess.run

    def interrupted(words: list[str], **options: object) -> object:
        done = real(words, **options)  # type: ignore[call-overload]
        if words[-1].endswith("installer.py"):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        change(environment)
    assert environment.state() != before
    monkeypatch.setattr(subprocess, "run", real)
    stages(monkeypatch, [], [])
    with pytest.raises(UserError, match="did not end") as error:
        change(environment)
    assert error.value.next_step == "metalassay fix --undo"
    apply.undo(environment.prefix, lambda _: None)
    assert environment.state() == before


def test_what_cannot_be_brought_back_is_said_with_the_command_to_try_again(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages(monkeypatch, [], ["Trainer"])
    monkeypatch.setattr(record, "restore", lambda kept: ("accelerate/old.py is missing",))
    with pytest.raises(
        apply.RollbackError, match=r"Trainer worked before.*old.py is missing"
    ) as error:
        change(environment)
    assert f"metalassay fix --undo --env {environment.prefix}" in error.value.next_step
    kept = record.load(environment.prefix)
    assert kept is not None
    assert kept.unfinished


def test_two_changes_at_once_are_refused(environment: Environment) -> None:
    with (
        apply.alone(environment.prefix),
        pytest.raises(UserError, match="another `metalassay fix`"),
    ):
        change(environment)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"externally_managed": True}, "belongs to the operating system"),
        ({"from_conda": ("accelerate",)}, "conda installed accelerate"),
    ],
)
def test_what_must_not_be_changed_is_refused(
    more: dict[str, object], why: str, environment: Environment
) -> None:
    before = environment.state()
    with pytest.raises(UserError, match=why):
        apply.apply(environment.manager(**more), WANTED, (), say=lambda _: None)
    assert environment.state() == before
    assert not (environment.prefix / ".metalassay").exists()


def test_nothing_is_installed_with_sudo(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "me")
    with pytest.raises(UserError, match="with sudo"):
        change(environment)


def test_without_rights_nothing_is_tried(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="cannot be written by you"):
        change(environment)


def test_the_files_of_a_project_are_those_that_its_manager_changes(tmp_path: Path) -> None:
    for kind, names in (
        ("uv project", ["pyproject.toml", "uv.lock"]),
        ("poetry", ["pyproject.toml", "poetry.lock"]),
        ("pipenv", ["pyproject.toml", "Pipfile.lock", "Pipfile"]),
        ("venv", []),
    ):
        manager = managers.Manager(kind, "python", tmp_path / ".venv", project=tmp_path)
        assert [path.name for path in apply.project_files(manager)] == names
