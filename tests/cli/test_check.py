"""`metalassay check`: what is printed, which file is written, and the exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from metalassay.cli.main import main
from metalassay.diagnosis import check
from metalassay.environment import extras, interpreters
from metalassay.errors import UserError
from metalassay.results import verdict_file

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence" / "compat" / "accelerate-1.8.0.json"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    """Let the suite have run, with the verdicts of a recorded row."""
    monkeypatch.chdir(tmp_path)
    asked: dict[str, object] = {}

    def run(
        python: object, wanted: object, target: Path, progress: object, *, exactly: bool
    ) -> object:
        asked.update(python=python, wanted=wanted, target=target)
        document = json.loads(EVIDENCE.read_text("utf-8"))
        document.update(asked.get("changes", {}))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(document), "utf-8")
        return check.Checked(target, verdict_file.load(target), target.read_text("utf-8"))

    monkeypatch.setattr(check, "run", run)
    return asked


def test_green_names_what_is_here_and_how_to_fix_it(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("GREEN: our data tells the truth here, as far as it was tested.")
    assert "accelerate-empty-shard: An empty DataLoader yields a None batch" in out
    assert "pip install 'accelerate>=1.9.0'" in out
    assert "slow tests: metalassay check --slow" in out
    assert "on a Mac only" in out
    assert "verdicts: reports/compat/as-installed.json" in out
    assert max(map(len, out.splitlines())) <= 80
    assert checked["wanted"] == check.Wanted()


def test_red_is_named_first_and_is_exit_code_1(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    failure = {"test": "compat/test_x.py::test_y", "outcome": "failed", "evidence": "E  boom"}
    checked["changes"] = {"other_failures": [failure]}
    assert main(["check", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["green"], document["red"]) == (False, ["compat/test_x.py::test_y"])
    assert document["verdicts"]["schema"] == "metalassay.compat/1"
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("RED: 1 result here that our data does not expect.")
    assert "RED: failed: compat/test_x.py::test_y" in out


def test_nothing_tested_is_not_green(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    checked["changes"] = {"bugs": []}
    assert main(["check"]) == 2
    assert capsys.readouterr().out.startswith("NOTHING TESTED")


def test_a_settled_question_is_said(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(EVIDENCE.read_text("utf-8"))
    bug = next(bug for bug in document["bugs"] if bug["verdict"] == "broken as known")
    bug["provenance"] = "reported upstream, not run by us"
    checked["changes"] = {"bugs": document["bugs"]}
    assert main(["check"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"has settled 1 open question that only reports knew: 1 as reported ({bug['id']})" in out
    assert "next: metalassay submit reports/compat/as-installed.json" in out


def test_the_file_of_another_environment_has_its_name(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "my env" / "bin").mkdir(parents=True)
    (tmp_path / "my env" / "bin" / "python").symlink_to(Path(sys.executable))
    assert main(["check", "--env", "my env", "--bug", "a", "--slow"]) == 0
    assert str(checked["target"]) == "reports/compat/as-installed-my-env.json"
    assert checked["wanted"] == check.Wanted(("a",), slow=True)
    assert main(["check", "-o", "here.json"]) == 0
    assert checked["target"] == Path("here.json")


def test_an_older_python_is_refused_with_its_version(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = ({"python": "3.9.6"}, interpreters.this())
    monkeypatch.setattr(interpreters, "ask", lambda python: answer)
    assert main(["check", "--env", sys.executable]) == 2
    err = capsys.readouterr().err
    assert "it has Python 3.9.6; the tests need 3.11 or newer" in err
    assert "target" not in checked


def test_without_pytest_the_extra_is_named(
    checked: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(command: str, extra: str, *modules: str) -> None:
        raise extras.missing_extra(command, extra, *modules)

    monkeypatch.setattr(extras, "require", missing)
    assert main(["check"]) == 2
    assert "pip install 'metalassay[compat]'" in capsys.readouterr().err


def test_an_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UserError("nothing was tested: torch is broken", "metalassay doctor")

    monkeypatch.setattr(check, "run", fail)
    assert main(["check"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize("name", [".", "folder", "/dev/null"])
def test_an_output_that_is_no_file_is_refused_before_anything_runs(
    checked: dict[str, object],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
) -> None:
    (tmp_path / "folder").mkdir()
    assert main(["check", "-o", name]) == 2
    assert "no file to write to" in capsys.readouterr().err
    assert "target" not in checked
