"""Fine-tune the small mini GPT in several ways, and write what it answers then to docs/training/fine_tuning.txt.

    python tools/fine_tuning_example.py

All of them shall learn the same of the pairs in the package: to answer with the first clause alone. What
each has learnt is counted over the questions of the pairs, with the likeliest token taken each time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from metalassay.files import write_atomically
from metalassay.machine import hardware
from metalassay.training.gpt import fine_tuning, task
from metalassay.training.gpt.dialogues import END
from metalassay.training.gpt.generation import Sampling

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "training" / "fine_tuning.txt"
QUESTION = "What is a tide?"
WAYS = (
    ("trained", "train gpt --size small"),
    ("SFT", "train sft gpt --data short.jsonl"),
    ("DPO", "train dpo gpt"),
    ("DPO, 10 x the rate", "train dpo gpt --learning-rate 3e-4"),
    ("SFT, then DPO", "train dpo sft"),
)
FOLDERS = ("gpt", "sft", "dpo", "fast", "both")


def command(arguments: str, folder: Path, name: str) -> float:
    """Run a command of the command line in ``folder``; return its seconds."""
    began = time.monotonic()
    words = [sys.executable, "-m", "metalassay", *arguments.split(), "--device", "cpu"]
    done = subprocess.run(
        [*words, "--threads", "1", "--quiet", "-o", name], cwd=folder, stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise SystemExit(done.returncode)
    return time.monotonic() - began


def main() -> None:
    """Train, count, and write the file."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    torch.set_num_threads(1)
    pairs = [json.loads(line) for line in fine_tuning.PAIRS.read_text("utf-8").splitlines()]
    short = [{"text": task.prompt_text(pair["prompt"]) + pair["chosen"] + END} for pair in pairs]
    lines = [
        f"questions of pairs_train.jsonl, with what each model answers; {len(pairs)} in all;"
        f" {hardware.describe(hardware.probe())}, one thread",
        "short.jsonl has the chosen answers as dialogues",
        "",
        f"{'model':20}{'first clause':>13}{'whole answer':>13}{'else':>6}{'seconds':>9}  command",
    ]
    said = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in short)
        (folder / "short.jsonl").write_text(text, "utf-8")
        for (way, arguments), run in zip(WAYS, FOLDERS, strict=True):
            seconds = command(arguments, folder, run)
            model, tokenizer = task.load(folder / run, print)
            likeliest = Sampling(temperature=0)
            answers = [
                task.answer(model, tokenizer, pair["prompt"], 64, likeliest) for pair in pairs
            ]
            first = sum(a == pair["chosen"] for a, pair in zip(answers, pairs, strict=True))
            whole = sum(a == pair["rejected"] for a, pair in zip(answers, pairs, strict=True))
            rest = len(pairs) - first - whole
            lines.append(
                f"{way:20}{first:13}{whole:13}{rest:6}{seconds:9.0f}  metalassay {arguments}"
            )
            answer = task.answer(model, tokenizer, QUESTION, 64, likeliest)
            said.append(f"{way:20}{answer}")
    text = "\n".join([*lines, "", QUESTION, *said]) + "\n"
    write_atomically(OUTPUT, text)
    print(text)


if __name__ == "__main__":
    main()
