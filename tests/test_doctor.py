"""What `metalassay doctor` says, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay import bugs, cli, doctor, versions


def test_an_affected_version_is_named_with_its_cure() -> None:
    diagnosis = doctor.diagnose({"python": "3.11.7", "accelerate": "1.1.1"})
    assert "accelerate-empty-shard" in {finding.bug for finding in diagnosis.findings}
    text = doctor.as_text(diagnosis)
    assert "accelerate 1.1.1 (affected: accelerate >=0.11.0,<1.9.0)" in text
    assert "1. upgrade: pip install 'accelerate>=1.9.0'" in text


def test_a_healthy_version_is_called_healthy() -> None:
    newer = doctor.diagnose({"python": "3.11.7", "accelerate": "1.9.0"})
    assert "accelerate-empty-shard" not in {finding.bug for finding in newer.findings}
    nothing = doctor.diagnose({"python": "3.11.7"})
    assert nothing.findings == ()
    assert "None of the" in doctor.as_text(nothing)


def test_what_is_ignored_is_not_found() -> None:
    ignored = {bug.id for bug in bugs.load()} - {"accelerate-empty-shard"}
    diagnosis = doctor.diagnose({"accelerate": "1.1.1"}, ignored)
    assert [finding.bug for finding in diagnosis.findings] == ["accelerate-empty-shard"]


@pytest.mark.parametrize(("installed", "code"), [({"accelerate": "1.8.0"}, 1), ({}, 0)])
def test_the_exit_code_says_whether_a_bug_applies(
    installed: dict[str, str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(versions, "installed", lambda: installed)
    assert cli.main(["doctor", "--json"]) == code
    assert bool(json.loads(capsys.readouterr().out)["findings"]) is bool(code)


def test_a_bug_to_ignore_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--ignore", "nonsense"]) == 2
    assert "no bug 'nonsense'" in capsys.readouterr().err


def test_another_interpreter_can_be_examined(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.versions_of(sys.executable) == versions.installed()


def test_what_is_no_interpreter_gives_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", "--python", str(tmp_path / "python")]) == 2
    error = capsys.readouterr().err
    assert "not a Python interpreter that answers" in error
    assert "next: name one" in error


def test_doctor_imports_neither_torch_nor_accelerate() -> None:
    code = (
        "import sys; from metalassay import cli; cli.main(['doctor']);"
        "print(sorted({'torch', 'accelerate', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
