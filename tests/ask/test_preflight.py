"""A preflight of the user's step: which operator MPS lacks, from which line, in which torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay.ask import preflight_text

TEXT = """
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
    def forward(self, x):
        q, _ = torch.linalg.qr(x.t() @ x + torch.eye(4))
        return self.last(x @ q + x.double().float())
def make(batch_size):
    return Model(), {"x": torch.randn(batch_size, 4)}
"""


def asked(folder: Path, text: str, version: str) -> dict[str, Any]:
    """Return the answer, from a process of its own: recording changes torch."""
    path = folder / "mine.py"
    path.write_text(text, "utf-8")
    facts = {"question": "preflight", "file": str(path), "batch_size": 3, "torch": version}
    command = [sys.executable, "-P", "-m", "metalassay.ask.child", json.dumps(facts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert "error" not in found, found
    return found


@pytest.mark.slow
def test_what_is_missing_has_its_line_and_its_cure(tmp_path: Path) -> None:
    found = asked(tmp_path, TEXT, "2.8")
    qr = next(each for each in found["findings"] if each["operator"] == "linalg_qr.out")
    assert qr["states"]["2.8.0"] == "missing"
    assert [(Path(each["file"]).name, each["line"]) for each in qr["places"]] == [("mine.py", 9)]
    assert next(each["line"] for each in found["wide"]) == 10
    said = list(preflight_text.lines(found))
    assert said[0].startswith(
        "MISSING: linalg_qr.out (NotImplementedError; 1 call): mine.py:9 in forward;"
    )
    assert "FALLBACK=1 runs it on the CPU; fixed by torch 2.12.1" in said[0]
    assert any("float64" in line and "mine.py:10" in line for line in said)
    assert any(line.startswith("judged for torch 2.8.0; ") for line in said)


@pytest.mark.slow
def test_nothing_of_ours_is_a_line_of_the_user(tmp_path: Path) -> None:
    """The optimizer and the stand-in for a loss are called from files of ours."""
    found = asked(tmp_path, TEXT.replace("x.double().float()", "x"), "2.0")
    places = [each for finding in found["findings"] for each in finding["places"]]
    files = {Path(each["file"]).name for each in places if each["file"]}
    assert files <= {"mine.py"}
    lerp = next(each for each in found["findings"] if each["operator"].startswith("lerp"))
    assert [each["function"] for each in lerp["places"]] == ["the optimizer, AdamW"]
