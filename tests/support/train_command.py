"""Run `metalassay train` in this process, and write the files of dialogues that it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalassay.cli import handover
from metalassay.cli import main as cli
from metalassay.training.__main__ import main
from metalassay.training.gpt.dialogues import END, START


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process, including the part that usually has its own."""

    def launch(command: str, parsed: Any, prefix: Any = ()) -> int:
        values = {k: v for k, v in vars(parsed).items() if not callable(v)}
        handed = {**values, "command": command, "argv": list(arguments)}
        return main(json.dumps(handed, default=str))

    monkeypatch.setattr(handover, "launch", launch)
    return cli.main(arguments)


def jsonl(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def marked_jsonl(path: Path, *texts: str) -> Path:
    marked = (json.dumps({"text": f"{START}{text}{END}"}) + "\n" for text in texts)
    path.write_text("".join(marked), "utf-8")
    return path
