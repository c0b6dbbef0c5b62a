"""Outputs, summary and notices of a step, as the runner reads them."""

from __future__ import annotations

from pathlib import Path

import ci_outputs
import pytest


def test_an_output_is_json_on_one_line_after_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "output"
    file.write_text("a=1\n")
    monkeypatch.setenv("GITHUB_OUTPUT", str(file))
    ci_outputs.output("all", [{"b": "c\nd"}])
    assert file.read_text() == 'a=1\nall=[{"b":"c\\nd"}]\n'


def test_without_a_workflow_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    ci_outputs.output("all", [])
    ci_outputs.summary("# text\n")
    assert capsys.readouterr().out == "all=[]\n# text\n"


def test_a_notice_cannot_begin_a_second_command(capsys: pytest.CaptureFixture[str]) -> None:
    ci_outputs.notice("error", "50 %\n::set-env name=PATH::evil")
    assert capsys.readouterr().out == "::error::50 %25%0A::set-env name=PATH::evil\n"
