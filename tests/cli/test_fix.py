"""`metalassay fix` on the command line: what it prints, asks, changes and refuses."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fix_environment
import pytest

from metalassay.cli import main
from metalassay.environment import managers
from metalassay.fix import apply, record, resolve
from metalassay.matrix.resolver import Failure
from metalassay.smoke import parent as smoke
from metalassay.smoke.parent import Stage


class Terminal(io.StringIO):
    """A standard input at which somebody sits."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an environment with the guide's versions, whose installer does what is asked for."""
    prefix = tmp_path / "mit leer"
    fix_environment.make(prefix)
    for name, version in (("accelerate", "1.8.0"), ("transformers", "4.52.4"), ("torch", "2.5.1")):
        fix_environment.install(prefix, name, version)
    code = (
        "import re\nfor each in sys.argv[1:]:\n    name, version = re.split('~=', each)\n"
        "    replace(name, version)\n"
    )
    words = fix_environment.installer(tmp_path, code)
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(managers, "install_command", lambda _, asked, **__: [*words, *asked])
    monkeypatch.setattr(resolve, "ask", lambda *_: None)
    monkeypatch.setattr(smoke, "run", trained("passed"))
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("metalassay.fix.bug_tests.run", lambda *_: ("not tested", "not here"))
    return prefix


def trained(status: str, *later: str) -> Any:
    """Return what runs the stages: the Trainer ends with each status in turn."""
    left = [status, *later]

    def run(python: str, stages: Sequence[str], **_: Any) -> tuple[Stage, ...]:
        now = left.pop(0) if len(left) > 1 else left[0]
        return (Stage("Trainer", now, "boom"),)

    return run


def fix(prefix: Path, *options: str) -> int:
    """Run the command for the environment."""
    return main.main(["fix", "--env", str(prefix), *options])


def test_the_plan_alone_changes_nothing(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "run", lambda *_, **__: pytest.fail("something was tried"))
    before = fix_environment.tree(prefix)
    assert fix(prefix) == 1
    said = capsys.readouterr()
    assert " 1.8.0 -> 1." in said.out
    assert f"metalassay fix --apply --env '{prefix}'" in " ".join(said.out.split())
    assert said.err == "asking the installer which change is possible ...\n"
    assert fix_environment.tree(prefix) == before
    assert not (prefix / ".metalassay").exists()


def test_a_change_is_made_and_undone(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = fix_environment.tree(prefix)
    assert fix(prefix, "--apply", "--yes") == 0
    said = capsys.readouterr()
    assert "Fixed. Tried: 0 packages imported, Trainer" in said.out
    assert "next:" not in said.out
    assert fix_environment.tree(prefix) != before
    assert fix(prefix, "--undo", "--yes") == 0
    assert "is as it was before the change" in capsys.readouterr().out
    assert fix_environment.tree(prefix) == before
    assert fix(prefix, "--undo", "--yes") == 2
    assert "is left to undo" in capsys.readouterr().err


def test_a_change_that_breaks_something_is_taken_back(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fix_environment.tree(prefix)
    monkeypatch.setattr(smoke, "run", trained("passed", "crashed"))
    assert fix(prefix, "--apply", "--yes") == 1
    assert "Not fixed: Trainer worked before and does not now" in capsys.readouterr().out
    assert fix_environment.tree(prefix) == before


def test_json_is_alone_on_stdout(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fix(prefix, "--json") == 1
    made = json.loads(capsys.readouterr().out)
    assert made["schema"] == {"name": "metalassay.fix", "version": 1}
    assert set(made) == {
        "schema", "environment", "manager", "versions", "changes", "requirements", "command",
        "fixes", "brings", "remains", "ends", "keeps", "adds", "checked", "refused", "result",
    }  # fmt: skip
    assert made["result"] is None
    monkeypatch.setattr(smoke, "run", trained("passed", "crashed", "passed"))
    assert fix(prefix, "--json", "--apply", "--yes") == 1
    assert json.loads(capsys.readouterr().out)["result"]["state"] == "rolled back"
    assert fix(prefix, "--json", "--apply", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["result"]["state"] == "fixed"
    assert fix(prefix, "--json", "--undo", "--yes") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "undone"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--yes"], "--yes goes with --apply"),
        (["--json", "--apply"], "with --json nothing is asked"),
        (["--json", "--undo"], "with --json nothing is asked"),
        (["--ignore", "nonsense"], "no finding has the id 'nonsense'"),
    ],
)
def test_options_that_make_no_sense_are_exit_code_2(
    options: list[str], words: str, prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fix_environment.tree(prefix)
    assert fix(prefix, *options) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""
    assert fix_environment.tree(prefix) == before


@pytest.mark.parametrize("options", [["--apply", "--undo"], ["--timeout", "0"]])
def test_options_that_cannot_be_read_are_exit_code_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["fix", *options])
    assert caught.value.code == 2


@pytest.mark.parametrize("options", [["--apply"], ["--undo"]])
def test_without_a_terminal_nothing_is_changed(
    options: list[str], prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if options == ["--undo"]:
        fix(prefix, "--apply", "--yes")
    before = fix_environment.tree(prefix)
    assert fix(prefix, *options) == 2
    said = capsys.readouterr()
    assert "there is no terminal to ask at, so nothing was changed" in said.err
    assert fix_environment.tree(prefix) == before


@pytest.mark.parametrize(("answer", "changes"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_person_is_asked(
    answer: str,
    changes: bool,
    prefix: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fix_environment.tree(prefix)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert fix(prefix, "--apply") == (0 if changes else 1)
    said = capsys.readouterr().out
    assert "Change it? [y/N]" in said
    assert ("nothing was changed" in said) is not changes
    assert (fix_environment.tree(prefix) == before) is not changes
    if changes:
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert fix(prefix, "--undo") == 0
        said = capsys.readouterr().out
        assert "This undoes the change of " in " ".join(said.split())
        assert "-> 1.8.0\n" in said
        assert fix_environment.tree(prefix) == before


def test_an_index_that_does_not_answer_is_exit_code_2(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fix_environment.tree(prefix)
    monkeypatch.setattr(resolve, "ask", lambda *_: Failure("Failed to fetch: `https://dead`"))
    assert fix(prefix, "--apply", "--yes") == 2
    said = capsys.readouterr().err
    assert "Failed to fetch" in said
    assert "next: check the network" in said
    assert fix_environment.tree(prefix) == before


def test_a_refusal_comes_before_the_question(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "somebody")
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert fix(prefix, "--apply") == 2
    said = capsys.readouterr()
    assert "Change it?" not in said.out
    assert "next: run it again without sudo" in said.err


def test_a_healthy_environment_is_exit_code_0(
    tmp_path: Path, prefix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    fix_environment.make(empty)
    assert fix(empty, "--apply", "--yes") == 0
    assert "No change of version makes this set better." in capsys.readouterr().out
    assert not (empty / ".metalassay").exists()


def test_what_helps_and_cannot_be_installed_is_exit_code_1(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "ask", lambda *_: Failure("holder depends on it", conflict=True))
    assert fix(prefix) == 1
    assert "cannot be installed here" in capsys.readouterr().out


def test_an_interruption_says_whether_something_is_half_changed(
    prefix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(smoke, "run", interrupted)
        assert fix(prefix, "--apply", "--yes") == 130
    assert "interrupted; nothing was changed" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(apply, "install", interrupted)
        assert fix(prefix, "--apply", "--yes") == 130
    said = capsys.readouterr().err
    assert "may be half changed" in said
    assert f"next: metalassay fix --undo --env '{prefix}'" in said
    assert fix(prefix, "--apply", "--yes") == 2
    assert "did not end" in capsys.readouterr().err
    assert fix(prefix, "--undo", "--yes") == 0


def test_a_damaged_record_is_no_traceback(prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record.path_of(prefix).parent.mkdir()
    record.path_of(prefix).write_text("{")
    assert fix(prefix, "--undo", "--yes") == 2
    assert "the record of the last change cannot be used" in capsys.readouterr().err
    assert fix(prefix, "--apply", "--yes") == 2
    assert "the record of the last change cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["fix", "--apply", "--yes"], ["fix", "--undo", "--yes"], ["doctor"],
                                     ["link"], ["explain", "x"]])  # fmt: skip
def test_an_empty_name_is_no_environment_and_never_this_one(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in --env "$VENV", where the variable is not set."""
    monkeypatch.setattr(apply, "apply", lambda *_, **__: pytest.fail("something was changed"))
    monkeypatch.setattr(apply, "undo", lambda *_, **__: pytest.fail("something was changed"))
    with pytest.raises(SystemExit, match="2"):
        main.main([*command, "--env", ""])
    assert "must be the name of a file or folder, not ''" in capsys.readouterr().err
