"""Reading dialogues line by line: which lines are malformed, and the files in the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from train_command import marked_jsonl

from metalassay.errors import UserError
from metalassay.training.gpt import dialogues, tokenizer
from metalassay.training.gpt.dialogues import END, START, Faults


def test_the_package_has_200_training_and_30_test_dialogues() -> None:
    questions = {}
    for path, count in ((dialogues.TRAINING, 200), (dialogues.TEST, 30)):
        found = [line.text for line in dialogues.lines(path)]
        assert len(found) == count
        for each in found:
            assert each is not None
            assert each.startswith(START)
            assert each.endswith(END)
            assert each.count(START) == each.count(END) == 2
            assert f"{END} {START}" in each
            assert dialogues.has_message(each)
        questions[path] = {str(each).partition(END)[0] for each in found}
        assert len(questions[path]) == count
        chinese = sum(any("\u4e00" <= letter <= "\u9fff" for letter in str(e)) for e in found)
        assert chinese == count // 2
    assert not questions[dialogues.TRAINING] & questions[dialogues.TEST]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a question and its answer", "no <|im_start|>...<|im_end|>"),
        ("<|im_start|>no end", "no <|im_start|>...<|im_end|>"),
        ("no start<|im_end|>", "no <|im_start|>...<|im_end|>"),
        ("<|im_end|>the wrong way round<|im_start|>", "no <|im_start|>...<|im_end|>"),
        ("<|im_start|> <|im_end|>", "no <|im_start|>...<|im_end|>"),
        ("<|im_start|>half \ud800 of a pair<|im_end|>", "half a surrogate pair in its text"),
        ("<|im_start|>a question<|im_end|> <|im_start|>cut", None),
        ("before <|im_start|>a whole pair: \U0001f30a<|im_end|> after", None),
    ],
)
def test_a_line_without_a_complete_message_is_malformed(
    tmp_path: Path, text: str, fault: str | None
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n", "ascii")
    (line,) = dialogues.lines(path)
    assert (line.fault, line.text) == (fault, None if fault else text)
    faults = Faults(path, True, print)
    if fault:
        with pytest.raises(UserError, match=r"a\.jsonl, line 1: "):
            tokenizer.train(path, 372, faults)
    else:
        tokenizer.train(path, 372, faults)


def test_a_line_that_is_too_long_is_malformed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogues, "LONGEST_LINE", 64)
    found = list(dialogues.lines(marked_jsonl(tmp_path / "a.jsonl", "a" * 500, "bcdefgh")))
    assert found[0].fault == "longer than 16 MB"
    assert [found[1].number, found[1].text] == [2, f"{START}bcdefgh{END}"]
