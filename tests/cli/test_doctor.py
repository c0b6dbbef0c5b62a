"""`metalassay doctor` on the command line: what it prints, runs and refuses."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from damaged_metadata import DAMAGES
from packages_on_disk import install

from metalassay.cli import fix, main
from metalassay.environment import interpreters, managers, versions
from metalassay.mps import probe

GUIDE = {
    "python": "3.11.7",
    "accelerate": "1.8.0",
    "torch": "2.5.1",
    "transformers": "4.52.4",
    "huggingface-hub": "0.36.2",
}
NOT_BUILT = probe.Probe("not built", "torch 2.5.1 is built without MPS", "2.5.1", *[None] * 4)


@pytest.fixture(autouse=True)
def guide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the guide's environment be installed, with no variable set and a probe that answers."""
    monkeypatch.setattr(versions, "installed", lambda packages=(): dict(GUIDE))
    monkeypatch.setattr(probe, "probe", lambda python, timeout: NOT_BUILT)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Run the command and return what it printed as JSON."""
    main.main(["doctor", "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_findings_are_exit_code_1_and_none_that_counts_is_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        "Can this train? Yes, except for: a streamed dataset, resume of a Trainer."
    )
    assert re.search(r"^Do: .* pip install ", said, re.MULTILINE)
    healthy = {"accelerate": "1.15.0", "torch": "2.13.0", "transformers": "5.23.0"}
    monkeypatch.setattr(versions, "installed", lambda packages=(): healthy)
    assert main.main(["doctor"]) == 0
    assert "Healthy" in capsys.readouterr().out


def test_the_document_names_its_schema_and_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    made = document(capsys)
    assert made["schema"] == {"name": "metalassay.diagnosis.doctor", "version": 1}
    assert set(made) == {
        "schema", "machine", "python", "versions", "probe", "findings", "plan", "fix", "verdict",
        "executed", "breaks", "manager",
    }  # fmt: skip
    assert made["probe"]["state"] == "not built"
    assert made["versions"]["accelerate"] == "1.8.0"
    for finding in made["findings"]:
        assert set(finding) == {
            "id", "kind", "severity", "title", "observed", "expected", "fix", "link", "fixes",
            "workaround", "not_fixes", "entry", "stops", "reports", "needs", "here",
        }  # fmt: skip
        assert finding["severity"] in ("error", "warning", "info")
        assert finding["link"].startswith("https://") or finding["kind"] == "link check"
    assert made["plan"]["fixes"]
    assert made["fix"][-1] == made["plan"]["requirements"][-1]


def test_the_environment_of_the_shell_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_WORKER_COUNT", "8")
    assert "uv-worker-count-invented" in {each["id"] for each in document(capsys)["findings"]}


def test_the_probe_says_on_stderr_that_it_runs_and_can_be_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main.main(["doctor", "--timeout", "7"])
    assert "at most 7 s; --no-probe skips it" in capsys.readouterr().err
    main.main(["doctor", "--no-probe"])
    said = capsys.readouterr()
    assert said.err == ""
    main.main(["doctor", "--no-probe", "-v"])
    assert "not tested (--no-probe)" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--env", "--python"])
def test_another_environment_is_examined_by_its_folder_or_its_python(
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def ask(
        python: str, packages: tuple[str, ...]
    ) -> tuple[dict[str, str], interpreters.Interpreter]:
        asked.append(python)
        return dict(GUIDE), interpreters.this()

    monkeypatch.setattr(interpreters, "ask", ask)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.symlink_to(sys.executable)
    assert document(capsys, option, str(tmp_path))["python"] == str(python)
    assert document(capsys, option, str(python))["python"] == str(python)
    assert asked == [str(python)] * 2


def test_the_interpreter_of_an_environment_is_really_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert interpreters.versions_of(sys.executable) == versions.installed()


def test_a_module_in_the_working_directory_is_not_taken_for_pythons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not json')")
    monkeypatch.chdir(tmp_path)
    assert interpreters.versions_of(sys.executable, ())["python"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "missing", "does not run as a Python interpreter"),
        (lambda folder: folder, "not a virtual environment: it has no bin/python"),
    ],
)
def test_what_is_no_environment_gives_one_line_and_exit_code_2(
    make: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["doctor", "--env", str(make(tmp_path))]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "next: name an environment or its interpreter, as in: --env .venv" in error


@pytest.mark.parametrize("damage", ["no text", "a pipe", "a dangling link", "a folder"])
def test_a_package_that_cannot_be_read_is_a_finding_and_the_others_are_examined(
    tmp_path: Path, damage: str
) -> None:
    for name in ("trl", "accelerate"):
        install(tmp_path / "site", name, "1.8.0", {})
    file = tmp_path / "site" / "trl-1.8.0.dist-info" / "METADATA"
    file.unlink()
    DAMAGES[damage](file)
    (tmp_path / "site" / "accelerate-1.9.0.dist-info").mkdir()
    script = tmp_path / "python"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={tmp_path}/site exec {sys.executable} -S "$@"\n', "utf-8"
    )
    script.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "metalassay", "doctor", "--no-probe", "--json", "--env", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    found = {each["id"]: each for each in json.loads(done.stdout)["findings"]}
    assert found["unreadable-trl"]["observed"] == "trl unreadable"
    twice = found["installed-twice"]["observed"]
    assert "accelerate-1.8.0.dist-info" in twice
    assert "accelerate-1.9.0.dist-info" in twice
    assert json.loads(done.stdout)["versions"]["accelerate"] in ("1.8.0", "1.9.0")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "exit code 3"),
        ("echo Traceback >&2; echo 'ImportError: no' >&2; exit 1", "ImportError: no"),
        ("echo []", "it printed something else than its packages"),
        ("echo garbage", "it printed something else than its packages"),
        ("echo '{}'", "it printed something else than its packages"),
    ],
)
def test_a_broken_python_gives_one_line_and_exit_code_2(
    script: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    assert main.main(["doctor", "--env", str(python)]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert first.endswith(f"{python}: does not run as a Python interpreter: {why}")


def test_a_finding_to_ignore_that_does_not_exist_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["doctor", "--ignore", "nonsense"]) == 2
    said = capsys.readouterr().err
    assert "no finding has the id 'nonsense'" in said
    assert "testing MPS" not in said


@pytest.mark.parametrize(
    "arguments",
    [["--yes"], ["--timeout", "0"], ["--apply", "--timeout", "0"]],
)
def test_options_that_make_no_sense_are_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["doctor", *arguments]) == 2
    assert "next: metalassay doctor" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--fix", "--apply"])
def test_fix_and_apply_are_short_for_the_command_fix(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[argparse.Namespace] = []

    def run(options: argparse.Namespace) -> int:
        asked.append(options)
        return 1

    monkeypatch.setattr(fix, "run", run)
    assert main.main(["doctor", option, "--env", "x", "--ignore", "accelerate-n-shard-typo"]) == 1
    (options,) = asked
    assert (options.apply, options.undo, options.yes) == (option == "--apply", False, False)
    assert (options.env, options.ignore) == ("x", ["accelerate-n-shard-typo"])


def test_nothing_is_proposed_for_the_python_of_the_operating_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system = managers.Manager("system", "python", Path("/usr"), externally_managed=True)
    monkeypatch.setattr(managers, "detect", lambda interpreter, **_: system)
    assert document(capsys, "--no-probe")["fix"] is None


def test_without_torch_the_command_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"python": "3.11.7", "accelerate": "1.15.0", "transformers": "5.24.0"}
    monkeypatch.setattr(versions, "installed", lambda packages=(): there)
    assert document(capsys, "--no-probe")["fix"][-1] == "torch"
    main.main(["doctor", "--no-probe"])
    assert "Do:" in capsys.readouterr().out


def test_doctor_imports_neither_torch_nor_accelerate() -> None:
    code = (
        "import sys; from metalassay.cli import fix, main; main.main(['doctor', '--no-probe']);"
        "print(sorted({'torch', 'accelerate', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_script_of_the_project_that_replaces_the_loop_of_a_loader_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fix.py").write_text("DataLoaderShard.__iter__ = lambda self: iter(())\n", "utf-8")

    def found() -> list[str]:
        every = document(capsys, "--no-probe")["findings"]
        return [each["observed"] for each in every if each["id"] == "loader-loop-replaced"]

    assert found() == []
    monkeypatch.chdir(tmp_path)
    (place,) = found()
    assert place.startswith("fix.py:1 DataLoaderShard.__iter__ = lambda")
