"""The commands at the end of a report exist as they are written."""

from __future__ import annotations

import shlex

import pytest

from metalassay.cli.main import main
from metalassay.report.sections import method

OURS = [command for command, _ in method.COMMANDS if command.startswith("metalassay ")]


@pytest.mark.parametrize("command", OURS)
def test_each_command_of_ours_exists_with_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *arguments = shlex.split(command)[1:]
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert [option for option in arguments if option[:2] == "--" and option not in text] == []


def test_every_sentence_is_one() -> None:
    for sentence in method.SENTENCES:
        assert sentence.endswith(".")
        assert sentence == " ".join(sentence.split())
