"""The words that a submission may keep: those of the texts that metalassay writes today."""

from __future__ import annotations

import sys

import pytest
import submit_words


def test_no_word_and_no_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where this fails: python tools/submit_words.py."""
    monkeypatch.setattr(sys, "argv", ["submit_words.py", "--check"])
    assert submit_words.main() == 0, capsys.readouterr().out


def test_a_word_that_is_missing_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = submit_words.words_needed() | {"brandnew"}
    monkeypatch.setattr(submit_words, "words_needed", lambda: needed)
    monkeypatch.setattr(sys, "argv", ["submit_words.py", "--check"])
    assert submit_words.main() == 1
    assert capsys.readouterr().out == "words.txt lacks brandnew\n"
