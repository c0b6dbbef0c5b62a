"""What a known bug answers: whether it applies here, and its fixes for these versions."""

from __future__ import annotations

from explain_examples import CUT, EIGHT, FAMOUS, found

from metalassay.bugs import tracebacks
from metalassay.diagnosis import bug_answer
from metalassay.diagnosis.answers import Found


def bugs_in(text: str, installed: dict[str, str]) -> tuple[Found, ...]:
    return bug_answer.find(tracebacks.clean(text), installed)


def test_a_bug_with_another_message_in_the_installed_versions_is_marked() -> None:
    here = {"accelerate": "1.15.0", "trl": "1.16.0"}
    assert found(FAMOUS, here) == {"grpo-zero-steps": "otherwise", "accelerate-empty-shard": "no"}


def test_a_message_that_is_cut_off_is_marked() -> None:
    assert "the text is cut off there" in bugs_in(CUT, EIGHT)[0].words
    assert "cut off" not in bugs_in(FAMOUS, EIGHT)[0].words


def test_an_installed_fix_comes_last_and_what_does_not_help_is_separate() -> None:
    text = "TypeError: Can only concatenate tensors but got <class 'str'>"
    [first] = bugs_in(f"[rank0]: {text}", {"accelerate": "1.15.0"})
    assert first.do[0].startswith("with several processes: ")
    assert first.do[-1].endswith("'accelerate>=1.13.0' [installed already]")
    [first] = bugs_in(text, {"accelerate": "1.8.0"})
    assert first.do[0] == "with one process: pip install 'accelerate>=1.13.0'"
    [first] = bugs_in(FAMOUS, EIGHT)
    assert not any("1.1.1" in fix for fix in first.do)
    assert any("1.1.1" in fix for fix in first.not_help)
