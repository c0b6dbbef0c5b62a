"""Files and folders of dialogues and plain text: in pieces, from any position, in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from train_command import marked_jsonl
from train_command import run as command

from metalassay.errors import UserError
from metalassay.training.gpt import corpus, task
from metalassay.training.gpt.corpus import ALL, EVALUATION, PIECE, TRAINING, documents
from metalassay.training.gpt.dialogues import Faults
from metalassay.training.gpt.generation import Sampling
from metalassay.training.gpt.packing import TokenStream


def texts(path: Path, part: str = ALL) -> list[str]:
    return [line.text for line in documents(path, part=part) if line.text is not None]


def test_a_folder_is_read_in_the_order_of_names_and_other_files_are_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "b" / "c.TXT").write_text("c", "utf-8")
    (tmp_path / "d.md").write_text("\ufeffd\n", "utf-8")
    marked_jsonl(tmp_path / "a.jsonl", "a")
    for name in ("x.py", ".git/y.md", ".z.txt"):
        (tmp_path / name).write_text("no", "utf-8")
    assert texts(tmp_path) == ["<|im_start|>a<|im_end|>", "c", "d\n"]
    assert [line.file for line in documents(tmp_path)] == [0, 1, 2]
    assert texts(tmp_path / "d.md") == ["d\n"]


def test_a_folder_without_such_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no files that end in \.jsonl, \.txt, \.md"):
        corpus.paths(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        texts(tmp_path / "none.txt")


@pytest.mark.parametrize("start", range(5))
def test_a_long_line_is_cut_between_characters_and_nothing_is_lost(
    tmp_path: Path, start: int
) -> None:
    text = "a" * start + "é你𝄞z" * 3000  # characters of 2, 3, 4 and 1 bytes
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode())
    found = texts(tmp_path / "a.txt")
    assert "".join(found) == text
    assert len(found) > 3
    assert all(len(each.encode()) <= 2 * PIECE for each in found)


def test_pieces_end_with_lines_and_faults_name_the_file_and_the_line(tmp_path: Path) -> None:
    lines = "".join(f"line {number}\n" for number in range(1, 2001))
    file = tmp_path / "a.txt"
    file.write_bytes(lines.encode() + b"\xff\n")
    found = list(documents(tmp_path))
    assert all(line.text.endswith("\n") for line in found if line.text is not None)
    faults: list[str] = []
    counted = Faults(tmp_path, False, faults.append)
    for line in found:
        if line.fault:
            counted.add(line)
    assert faults == [f"skipped {file}, line 2001: not UTF-8"]


def test_reading_continues_at_any_piece(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words of text\n" * 2000, "utf-8")
    (tmp_path / "b.txt").write_text("other words\n" * 2000, "utf-8")
    found = list(documents(tmp_path))
    assert len(found) > 10
    for number, line in enumerate(found):
        rest = list(documents(tmp_path, line.file, line.next_offset, line.number))
        assert rest == found[number + 1 :]


def test_the_pieces_that_are_held_out_are_never_trained_on(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text(
            "".join(f"{name} {number}\n" for number in range(40_000)), "utf-8"
        )
    trained, held_out = texts(tmp_path, TRAINING), texts(tmp_path, EVALUATION)
    assert sorted([*trained, *held_out]) == sorted(texts(tmp_path))
    assert 0.03 < len(held_out) / len(trained) < 0.08
    marked_jsonl(tmp_path / "z.jsonl", *["dialogue"] * 50)
    assert texts(tmp_path, EVALUATION) == held_out  # dialogues are not held out


@pytest.mark.parametrize("small", [True, False])
def test_batches_continue_from_any_position_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    if not small:
        monkeypatch.setattr("metalassay.training.gpt.packing.SHUFFLED", 0)
    for name in "ab":
        words = "".join(f"{name}{number}\n" for number in range(1500))
        (tmp_path / f"{name}.txt").write_text(words, "utf-8")

    def stream() -> TokenStream:
        faults = Faults(tmp_path, True, print)
        return TokenStream(
            tmp_path, lambda text: list(text.encode()), 2, 600, faults, part=TRAINING
        )

    source = stream()
    batches = []
    for _ in range(20):  # more than one pass
        position = json.loads(json.dumps(source.position()))
        batches.append((position, source.next()))
    assert any(position["passes"] for position, _ in batches)
    for position, batch in batches:
        other = stream()
        other.seek(position)
        assert other.next().target.tolist() == batch.target.tolist()


def test_what_is_in_a_folder_identifies_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a" * 10, "utf-8")
    (tmp_path / "b.txt").write_text("b", "utf-8")
    first = corpus.identity(tmp_path)
    assert first["bytes"] == corpus.size(tmp_path) == 11
    assert corpus.identity(tmp_path) == first
    (tmp_path / "b.txt").write_text("c", "utf-8")
    assert corpus.identity(tmp_path) != first
    (tmp_path / "b.txt").write_text("b", "utf-8")
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert corpus.identity(tmp_path) != first


READ = """
import sys
from pathlib import Path
from metalassay.machine.process_memory import peak_rss
from metalassay.training.gpt import corpus, task
from metalassay.training.gpt.dialogues import Faults
from metalassay.training.gpt.generation import Sampling
from metalassay.training.gpt.packing import TokenStream

def stream(path):
    return TokenStream(path, lambda text: [1] * 100, 8, 64, Faults(path, True, print))

small, large = map(Path, sys.argv[1:])
stream(small).next()
before = peak_rss()
source = stream(large)
while not source.position()["passes"]:
    source.next()
print(peak_rss() - before, corpus.size(large))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports no peak of the memory")
@pytest.mark.parametrize("line", [80, 10**9])  # one line for all is a file of text too
def test_the_memory_does_not_depend_on_the_size_of_the_text(tmp_path: Path, line: int) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "large").mkdir()
    (tmp_path / "small" / "a.txt").write_text("你好 " * 1000, "utf-8")
    block = ("你好, words of a text. " * 4 + "\n" * (line < 100)) * 10_000
    for name in ("a.txt", "b.md"):
        with (tmp_path / "large" / name).open("w", encoding="utf-8") as file:
            for _ in range(30):
                file.write(block)
    program = [sys.executable, "-c", READ, str(tmp_path / "small"), str(tmp_path / "large")]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    rise, size = map(int, done.stdout.split())
    assert size > 50e6
    assert rise < 5e6


@pytest.mark.slow
def test_a_folder_of_chinese_text_trains_continues_and_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts").mkdir()
    sentence = "潮汐是由月亮和太阳的引力引起的。"
    for name in ("a.txt", "b.md"):
        (tmp_path / "texts" / name).write_text((sentence + "\n") * 1500, "utf-8")
    run = str(tmp_path / "run")
    arguments = ["train", "gpt", "--data", str(tmp_path / "texts"), "--steps", "30", "-o", run]
    arguments += ["--device", "cpu", "--threads", "1", "--json", "--prompt", "潮汐"]
    assert command(monkeypatch, *arguments) == 0
    captured = capsys.readouterr()
    assert "characters of the data as" in captured.err
    result = json.loads(captured.out.splitlines()[-1])
    assert result["validation_perplexity"] < 372
    state = json.loads((tmp_path / "run" / "step-00000030" / "state.json").read_text("utf-8"))
    assert state["config"]["held_out"] == corpus.EVERY
    assert command(monkeypatch, "generate", run, "潮汐", "--raw") == 0
    capsys.readouterr()
    model, made = task.load(Path(run), print)
    for number in range(20):  # a model that knows little breaks many characters
        sampling = Sampling(temperature=1.5, seed=number)
        text = task.continuation(model, made, "潮", 20, sampling)
        assert "\ufffd" not in text
        text.encode()
    test = str(tmp_path / "texts")
    assert command(monkeypatch, "evaluate", run, "--test", test, "--samples", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["perplexity"] < 372
