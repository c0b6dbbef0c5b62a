"""Train the small mini GPT once, and store its answers and its loss curve for the documentation.

    python tools/readme_training.py

It writes docs/training/sample.txt and docs/training/loss.svg from one run, and prints the figures. Only
the questions are chosen by hand: two from the training dialogues, two that the model has never seen.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from metalassay.files import write_atomically
from metalassay.machine import hardware

ROOT = Path(__file__).parents[1]
KNOWN = ("What is a tide?", "怎样煮米饭才好吃？")  # noqa: RUF001
UNKNOWN = ("What is a river?", "你叫什么名字？")  # noqa: RUF001
WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 48, 50
TRAINING, VALIDATION = "#2f7ed8", "#d9730d"  # readable on white and on black


def metalassay(*arguments: str) -> str:
    """Run the command line and return what it prints."""
    command = [sys.executable, "-m", "metalassay", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def curve(points: list[tuple[float, float]], across: float, up: float, colour: str) -> str:
    """Return a line through ``points``; ``across`` and ``up`` are the ends of the axes."""
    shown = " ".join(
        f"{LEFT + x / across * (WIDTH - LEFT - RIGHT):.1f},"
        f"{HEIGHT - BOTTOM - y / up * (HEIGHT - TOP - BOTTOM):.1f}"
        for x, y in points
    )
    return f'<polyline points="{shown}" fill="none" stroke="{colour}" stroke-width="2"/>'


def label(x: float, y: float, text: str, more: str = "") -> str:
    """Return a text element."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>'


def plot(log: list[dict[str, Any]], guess: float) -> str:
    """Return the losses by step as SVG; ``guess`` is the loss of a uniform guess, in nats."""
    training = [(entry["step"], entry["loss"]) for entry in log]
    validation = [
        (entry["step"], entry["figures"]["validation_loss"]) for entry in log if entry["figures"]
    ]
    steps = log[-1]["step"]
    top = float(int(max(y for _, y in [*training, *validation, (0, guess)])) + 1)
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="#808080">',
        "<title>Does the mini GPT learn the language, or its 200 dialogues?</title>",
        label(
            LEFT,
            24,
            "Does the mini GPT learn the language, or its 200 dialogues?",
            'font-size="16" font-weight="600"',
        ),
    ]
    for value in range(0, int(top) + 1, 2):
        y = HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            ' stroke="#808080" stroke-opacity="0.3"/>'
        )
        parts.append(label(LEFT - 8, y + 4, str(value), 'text-anchor="end"'))
    for number in range(5):
        x = LEFT + number / 4 * (WIDTH - LEFT - RIGHT)
        parts.append(
            label(x, HEIGHT - BOTTOM + 20, f"{steps * number // 4:,}", 'text-anchor="middle"')
        )
    parts.append(label(middle, HEIGHT - 10, "step", 'text-anchor="middle"'))
    turned = f'text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2:.0f})"'
    parts.append(label(16, HEIGHT / 2, "loss, nats per token", turned))
    for points, colour, name in (
        (training, TRAINING, "training"),
        (validation, VALIDATION, "other dialogues"),
    ):
        parts.append(curve(points, steps, top, colour))
        y = HEIGHT - BOTTOM - points[-1][1] / top * (HEIGHT - TOP - BOTTOM)
        parts.append(label(WIDTH - RIGHT + 8, y + 4, name, f'fill="{colour}"'))
    y = HEIGHT - BOTTOM - guess / top * (HEIGHT - TOP - BOTTOM)
    parts.append(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        ' stroke="#808080" stroke-dasharray="4 4"/>'
    )
    parts.append(label(WIDTH - RIGHT + 8, y + 4, "guessing: ln 2,000"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Train, ask, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", help="training steps (default: as in the command)")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "training")
    options = parser.parse_args()
    more = ["--steps", options.steps] if options.steps else []
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder, "run"))
        command = ["train", "gpt", "--size", "small", "--device", "cpu"]
        began = time.monotonic()
        rest = ["--evaluate-every", "100", "--report-every", "20", "--json", "-o", run]
        metalassay(*command, *more, *rest)
        seconds = time.monotonic() - began
        lines = Path(run, "log.jsonl").read_text("utf-8").splitlines()
        log = [json.loads(line) for line in lines]
        evaluated = [entry for entry in log if entry["figures"]]
        best = min(evaluated, key=lambda entry: float(entry["figures"]["validation_loss"]))
        last = evaluated[-1]
        answers = {
            question: metalassay("generate", run, question).strip()
            for question in (*KNOWN, *UNKNOWN)
        }
        evaluation = json.loads(metalassay("evaluate", run, "--json"))
    text = [
        f"metalassay {' '.join([*command, *more])}",
        f"{last['step']:,} steps in {seconds:.0f} s with start-up and {len(evaluated)} evaluations;"
        f" {hardware.describe(hardware.probe())}",
        "",
        f"training loss            {log[0]['loss']:.2f} (first {log[0]['step']} steps)"
        f" -> {log[-1]['loss']:.2f}; guessing is ln 2,000 = 7.60",
        *(
            f"other dialogues, {name:8}perplexity {entry['figures']['validation_perplexity']:,.0f},"
            f" {entry['figures']['validation_bits_per_byte']:.2f} bits per byte of text"
            f" (step {entry['step']:,})"
            for name, entry in (("best", best), ("last", last))
        ),
        f"its answers              distinct-1 {evaluation['distinct_1']:.2f}, distinct-2"
        f" {evaluation['distinct_2']:.2f}, repeated four-grams {evaluation['repetition_4']:.2f}",
        "",
        "questions from the training dialogues:",
        *(f"  {question}\n    {answers[question]}" for question in KNOWN),
        "questions that it has never seen:",
        *(f"  {question}\n    {answers[question]}" for question in UNKNOWN),
    ]
    write_atomically(options.output / "sample.txt", "\n".join(text) + "\n")
    write_atomically(options.output / "loss.svg", plot(log, 7.600902))
    print("\n".join(text))


if __name__ == "__main__":
    main()
