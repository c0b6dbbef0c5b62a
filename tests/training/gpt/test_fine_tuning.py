"""Fine-tuning: which tokens are answers, the losses, and the commands."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import trl_reference
from train_command import run
from trl_reference import trained

from metalassay.results import load
from metalassay.training.gpt import dialogues, fine_tuning
from metalassay.training.gpt.dialogues import END, START
from metalassay.training.gpt.examples import Example

Q, A = 1, 2  # the markers in the tests of tokens


@pytest.mark.parametrize(
    ("tokens", "skipped", "answer"),
    [
        ([Q, 7, A, 5, Q, 8, 9, A], 0, "00000111"),
        ([Q, 7, A, Q, 8, A, Q, 7, A, Q, 8, A], 0, "000011000011"),
        ([Q, 4, A, Q, 7, A, Q, 8, A], 1, "000000011"),
        ([Q, 7, A, Q, 8, 9], 0, "000000"),  # not complete
        ([Q, 7, A, Q, A, 5], 0, "000000"),  # empty
        ([5, A, 7, A], 0, "0000"),
        ([], 0, ""),
    ],
)
def test_every_second_message_is_an_answer_with_its_end(
    tokens: list[int], skipped: int, answer: str
) -> None:
    found = fine_tuning.in_answers(tokens, Q, A, skipped)
    assert "".join("01"[each] for each in found) == answer


def sentence(example: Example | str, row: int = 0) -> tuple[str, str]:
    """Return the text of a row, and the part that the model learns to write."""
    assert isinstance(example, Example), example
    made = trained().tokenizer.tokenizer
    tokens, answer = example.rows[row]
    learnt = [token for token, is_answer in zip(tokens, answer, strict=True) if is_answer]
    whole, part = (made.decode(each, skip_special_tokens=False) for each in (tokens, learnt))
    return whole, part


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_dialogue_is_read_with_its_answers_marked() -> None:
    read = fine_tuning.dialogue_reader(trained())
    text = f"{START}Hi{END} {START}Ho 月{END} {START}Hi{END} {START}Hu{END}"
    assert sentence(read(line(text=text))) == (text, f"Ho 月{END}Hu{END}")
    text = f"{START}system\nBe{END}{START}user\nHi{END}{START}assistant\nHo{END}"
    assert sentence(read(line(text=text))) == (text, f"assistant\nHo{END}")


def test_dialogues_that_do_not_fit_are_cut_or_skipped() -> None:
    read = fine_tuning.dialogue_reader(trained())
    found = read(line(text=f"{START}Hi{END} {START}{'x ' * 80}{END}"))
    assert isinstance(found, Example)
    assert found.cut
    assert len(found.rows[0].tokens) == len(found.rows[0].answer) == 65  # 64 and the last target
    short = read(line(text=f"{START}Hi{END} {START}Ho{END}"))
    assert isinstance(short, Example)
    assert not short.cut
    late = read(line(text=f"{START}{'x ' * 80}{END} {START}Hi{END}"))
    assert late == "no answer within the context of 64 tokens"
    assert read(line(text=f"{START}Hi{END}")) == "no answer: no second message"
    assert read(b"{") == "not JSON"


def test_a_pair_has_the_same_question_and_ends_each_answer() -> None:
    read = fine_tuning.pair_reader(trained())
    found = read(line(prompt="Hi", chosen="Ho", rejected="Hu hu"))
    assert sentence(found) == (f"{START}Hi{END} {START}Ho{END}", f"Ho{END}")
    assert sentence(found, 1) == (f"{START}Hi{END} {START}Hu hu{END}", f"Hu hu{END}")


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"{", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        (b"[]", 'no "prompt"'),
        (line(prompt="a", chosen="b"), 'no "rejected"'),
        (line(prompt="a", chosen=3, rejected="c"), 'no "chosen"'),
        (line(prompt=" ", chosen="b", rejected="c"), 'no "prompt"'),
        (line(prompt="a", chosen="b", rejected="b"), "chosen and rejected are the same"),
        (
            line(prompt=f"{START}a", chosen="b", rejected="c"),
            'a marker in its "prompt", which is text alone',
        ),
        (line(prompt="a", chosen="\ud800", rejected="c"), "half a surrogate pair in its text"),
        (
            line(prompt="a " * 90, chosen="b", rejected="c"),
            "its answers do not differ within the context of 64 tokens",
        ),
    ],
)
def test_a_malformed_pair_is_explained(raw: bytes, fault: str) -> None:
    assert fine_tuning.pair_reader(trained())(raw) == fault


def test_a_policy_equal_to_its_reference_has_the_loss_of_a_coin(tmp_path: Path) -> None:
    _, pairs = trl_reference.lines(tmp_path)
    start = trained()
    made = fine_tuning.dpo(start, pairs, pairs, 3, 1, 0, True, print, 0.1, torch.device("cpu")).task
    assert made.loss(made.model, made.source.next()).item() == pytest.approx(math.log(2))
    assert made.evaluate
    with torch.no_grad():
        assert made.evaluate()["validation_margin"] == 0
        for parameter in made.model.parameters():
            parameter.mul_(1.05)  # the reference must not follow
    assert made.loss(made.model, made.source.next()).item() != pytest.approx(math.log(2), abs=1e-4)


def test_the_pairs_of_the_package_are_those_that_its_dialogues_give() -> None:
    import preference_pairs

    for source, target in preference_pairs.FILES.items():
        assert target.read_text("utf-8") == preference_pairs.content(source)
    read = fine_tuning.pair_reader(trained())
    for raw in fine_tuning.PAIRS.read_bytes().splitlines():
        assert isinstance(read(raw), Example) or "differ within" in str(read(raw))
    answers = {
        line.text.split(START)[2].removesuffix(END)
        for path in (dialogues.TRAINING, dialogues.TEST)
        for line in dialogues.lines(path)
        if line.text
    }
    for path in (fine_tuning.PAIRS, fine_tuning.TEST_PAIRS):
        assert {json.loads(raw)["rejected"] for raw in path.read_bytes().splitlines()} <= answers


def test_the_help_names_the_defaults() -> None:
    from metalassay.cli import main

    commands = dict(main.subcommands(main.parser(main.COMMANDS)))
    for kind in ("sft", "dpo"):
        parser = commands[f"train {kind}"]
        told = {action.dest: str(action.help) for action in parser._actions}
        assert f"(default: {fine_tuning.PEAK_RATES[kind]:g})" in told["learning_rate"]
        assert f"(default: {fine_tuning.STEPS})" in told["steps"]
    assert commands["train dpo"].get_default("beta") == fine_tuning.BETA


@pytest.mark.slow
def test_the_commands_fine_tune_generate_and_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, answers, preferred = (str(tmp_path / name) for name in ("gpt", "sft", "dpo"))
    common = ["--device", "cpu", "--json", "--threads", "1"]
    assert run(monkeypatch, "train", "gpt", "--steps", "60", *common, "-o", base) == 0
    before = {path: path.read_bytes() for path in Path(base).rglob("*") if path.is_file()}
    capsys.readouterr()
    results = {}
    for kind, start, folder in (("sft", base, answers), ("dpo", answers, preferred)):
        train = ["train", kind, start, "--steps", "30", "--evaluate-every", "10"]
        train += ["--learning-rate", "1e-3", "-o", folder]
        assert run(monkeypatch, *train, *common) == 0
        lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
        losses = [each["loss"] for each in lines if "loss" in each]
        assert losses[-1] < losses[0]
        assert [each["step"] for each in lines if "sample" in each] == [10, 20, 30]
        results[kind] = lines[-1]
        assert not load.load([folder]).warnings  # `metalassay report` knows a run's files
        assert run(monkeypatch, "evaluate", folder, "--samples", "1", "--json") == 0
        assert json.loads(capsys.readouterr().out)["perplexity"] < 372
        assert run(monkeypatch, "generate", folder, "What is a tide?", "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out)["text"], str)
    assert results["sft"]["cut_examples"] > 0  # of the dialogues in the package, for 64 tokens
    assert results["dpo"]["validation_accuracy"] > 0.5
    assert results["dpo"]["validation_margin"] > 0
    assert {path: path.read_bytes() for path in before} == before  # the start stays as it was


@pytest.mark.slow
def test_a_run_is_resumed_only_with_the_model_that_it_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--device", "cpu", "--json", "--threads", "1"]
    for name, seed in (("one", "1"), ("two", "2")):
        folder = str(tmp_path / name)
        made = ["train", "gpt", "--steps", "2", "--seed", seed, *common, "-o", folder]
        assert run(monkeypatch, *made) == 0
    tuned = ["--steps", "4", *common, "-o", str(tmp_path / "dpo")]
    assert run(monkeypatch, "train", "dpo", str(tmp_path / "one"), *tuned) == 0
    capsys.readouterr()
    assert run(monkeypatch, "train", "dpo", str(tmp_path / "two"), *tuned, "--resume") == 2
    assert "start.weights was" in capsys.readouterr().err
    other = [*tuned, "--resume", "--beta", "0.2"]
    assert run(monkeypatch, "train", "dpo", str(tmp_path / "one"), *other) == 2
    assert "beta was 0.1, is 0.2 (--beta)" in capsys.readouterr().err
    assert run(monkeypatch, "train", "sft", str(tmp_path / "one"), *tuned, "--resume") == 2
    assert "workload was 'gpt-dpo', is 'gpt-sft'" in capsys.readouterr().err
