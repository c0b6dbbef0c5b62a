"""Another environment: its interpreter is found and asked what it has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.environment import interpreters, versions
from metalassay.errors import UserError


def test_the_interpreter_of_an_environment_is_found_and_its_link_kept(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert interpreters.find(str(tmp_path)) == str(python)


def test_a_command_is_returned_unchanged() -> None:
    assert interpreters.find("python3.11") == "python3.11"


def test_a_folder_without_a_python_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a virtual environment: it has no bin/python"):
        interpreters.find(str(tmp_path))


def test_an_interpreter_reports_its_packages_and_not_those_it_lacks() -> None:
    packages = interpreters.versions_of(sys.executable, ("pytest", "no-such-package"))
    assert packages == versions.installed(("pytest",))


def test_a_json_module_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not json')")
    monkeypatch.chdir(tmp_path)
    assert interpreters.versions_of(sys.executable, ()) == versions.installed(())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "exit code 3"),
        ("echo Traceback >&2; echo 'ImportError: no' >&2; exit 1", "ImportError: no"),
        ("echo '[]'", "it printed something else than its packages"),
        ("echo '{}'", "it printed something else than its packages"),
        ("echo garbage", "it printed something else than its packages"),
    ],
)
def test_a_program_that_is_not_a_python_is_the_users_error(
    tmp_path: Path, script: str, why: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(UserError) as caught:
        interpreters.versions_of(str(program))
    assert caught.value.message == f"{program}: does not run as a Python interpreter: {why}"
