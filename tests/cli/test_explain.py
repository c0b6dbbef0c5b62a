"""`metalassay explain` on the command line: what it asks for, prints and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from explain_examples import EXAMPLES, FAMOUS, GRPO, pipe

from metalassay import bugs
from metalassay.bugs import limits
from metalassay.cli import main
from metalassay.environment import interpreters, versions


def test_at_most_three_bugs_are_shown_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "\n".join([*(each["text"] for each in EXAMPLES), FAMOUS])
    assert main.main(["explain", "--versions", "accelerate=1.8.0", text]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n   here ") == 3
    assert re.search(r"^\d+ more fit: --all$", shown, re.MULTILINE)
    assert main.main(["explain", "--versions", "accelerate=1.8.0", "--all", text]) == 0
    assert capsys.readouterr().out.count("\n   here ") > 3


def test_the_installed_versions_are_asked_unless_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions, "installed", lambda packages=(): {"accelerate": "1.8.1"})
    assert main.main(["explain", FAMOUS]) == 0
    assert "accelerate 1.8.1: affected" in capsys.readouterr().out
    assert main.main(["explain", "--versions", "Accelerate==1.15.0, torch=2.5.1", FAMOUS]) == 1
    assert "accelerate 1.15.0: not affected" in capsys.readouterr().out
    assert main.main(["explain", "--python", sys.executable, "--json", FAMOUS]) == 0
    assert json.loads(capsys.readouterr().out)["versions"]["python"]


def test_a_folder_names_an_environment_as_in_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    asked: list[str] = []

    def versions_of(python: str) -> dict[str, str]:
        asked.append(python)
        return {"accelerate": "1.8.1"}

    monkeypatch.setattr(interpreters, "versions_of", versions_of)
    assert main.main(["explain", "--env", str(tmp_path), FAMOUS]) == 0
    assert asked == [str(python)]
    assert "accelerate 1.8.1: affected" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["accelerate", "accelerate=new", "=1.0", "a=1,,b=2", "a b=1"])
def test_versions_that_are_none_are_bad_input(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["explain", "--versions", text, FAMOUS]) == 2
    assert "is not PACKAGE=VERSION" in capsys.readouterr().err


def test_a_log_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", pipe(GRPO["text"].encode()))
    assert main.main(["explain", "--versions", "accelerate=1.8.0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["explanations"][0]["id"] == "accelerate-empty-shard"
    assert answer["explained"] is answer["explanations"][0]["explains"] is True
    assert answer["exceptions"] == [FAMOUS]
    assert answer["bytes_left_out"] == 0


def test_a_long_log_is_read_from_its_beginning_to_its_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = GRPO["text"].encode() + b"{'loss': 1.25, 'epoch': 0.01}\n" * 100_000
    monkeypatch.setattr(sys, "stdin", pipe(log))
    assert main.main(["explain", "--versions", "accelerate=1.8.0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ended"] == FAMOUS
    assert 0 < len(log) - answer["bytes_left_out"] < 300_000


def test_json_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain", "--versions", "accelerate=1.15.0", "--json", FAMOUS]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["explained"]
    [first, *_] = answer["explanations"]
    bug = bugs.get("accelerate-empty-shard")
    assert (first["id"], first["applies"], first["explains"]) == (bug.id, "no", False)
    assert (first["role"], first["exception"]) == ("ended", FAMOUS)
    assert first["do"] == [str(fix) for fix in bug.fixes]
    assert first["not_help"] == [*bug.not_fixes]
    assert answer["recognised"]["next"]
    assert answer["facts"]["device"] is None


def test_no_match_reports_the_exception_and_the_next_step_with_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["explain", "KeyError:", "'labels'"]) == 1
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "not explained: KeyError: 'labels'"
    assert second.startswith("   next     paste the whole traceback")
    assert all(line.startswith(" " * 12) for line in rest)


def test_a_misspelt_package_is_refused_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain", "--versions", "acccelerate=1.8.0", FAMOUS]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "no data has a package named" in said[0]
    assert "did you mean accelerate?" in said[1]
    assert len(said) == 2


def test_a_package_that_nobody_heard_of_decides_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["explain", "--versions", "accelerate=1.8.0,no-such-package=1.0", FAMOUS]) == 0
    with_it = capsys.readouterr().out
    assert main.main(["explain", "--versions", "accelerate=1.8.0", FAMOUS]) == 0
    assert capsys.readouterr().out == with_it


def test_no_text_and_an_empty_one_are_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = mock.Mock(**{"isatty.return_value": True})
    for stdin, said in (
        (terminal, "there is no text"),
        (None, "there is no text"),
        (pipe(b""), "the text is empty"),
        (pipe(b" \n\0"), "the text is empty"),
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main.main(["explain"]) == 2
        assert said in capsys.readouterr().err


def test_all_that_is_known_is_listed_within_eighty_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["explain", "--list"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    for bug in bugs.load():
        at = lines.index(bug.id)
        assert bug.title.startswith(lines[at + 1].strip())
    assert "    ValueError: Batch does not contain any data" in lines
    assert "    ValueError: __len__() should return >= 0" in lines
    # Nothing but a title without a space, such as a command, may be longer.
    assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []
    assert main.main(["explain", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows if row["source"] == "bug"] == [bug.id for bug in bugs.load()]
    limit_ids = [limit.id for limit in limits.load()]
    assert [row["id"] for row in rows if row["source"] == "limit"] == limit_ids
    assert set(limit_ids) <= set(lines)
    assert not any("[[" in row["title"] or "{" in row["title"] for row in rows)


def test_explain_imports_no_library_it_explains() -> None:
    code = (
        f"import sys; from metalassay.cli import main; main.main(['explain', {FAMOUS!r}]);"
        "print(sorted({'torch', 'accelerate', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_file_is_not_taken_for_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "a b.log"
    log.write_text(FAMOUS)
    assert main.main(["explain", str(tmp_path)]) == 2
    assert f"{tmp_path} names a file or folder" in capsys.readouterr().err
    assert main.main(["explain", str(tmp_path / "none.log")]) == 2
    assert "metalassay explain < " in capsys.readouterr().err


def test_empty_versions_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["explain", "--versions", "", FAMOUS]) == 2
    assert "is not PACKAGE=VERSION" in capsys.readouterr().err
