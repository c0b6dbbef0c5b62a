"""`metalassay loader`: progress on stderr, the answer on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalassay.cli.main import main
from metalassay.workers import dataloader
from metalassay.workers.dataloader import Setting


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer for every setting at once: one worker is quickest, more of them fail."""
    calls: list[dict[str, Any]] = []

    def measure(workers: int, **options: Any) -> Setting:
        calls.append(options)
        if workers > 1:
            return Setting(workers, None, None, "no answer within 60 s")
        return Setting(workers, 0.5, 1000.0 if workers == 1 else 100.0)

    monkeypatch.setattr(dataloader, "measure", measure)
    return calls


def test_the_recommendation_is_on_stdout_and_progress_on_stderr(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["loader", "--batch-size", "8", "--samples", "100", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    assert out == "for 200 samples: num_workers=1 (0.7 s in all)\n"
    assert "num_workers=1: 1,000 samples/s after 0.50 s\n" in err
    assert "num_workers=2: no answer within 60 s\n" in err
    assert asked[0]["batch"] == 8


def test_quiet_prints_the_answer_alone(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["loader", "--quiet", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["recommended"] == 1


def test_where_nothing_worked_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dataloader, "measure", lambda n, **_: Setting(n, None, None, "broken"))
    assert main(["loader"]) == 1
    assert "none of the settings worked" in capsys.readouterr().out


def test_a_dataset_of_the_user_decides_how_many_samples_there_are(
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("data = [1, 2, 3]\n", "utf-8")
    wanted: list[int] = []

    def length(of: dataloader.Data, most: int, timeout: float) -> int:
        wanted.append(most)
        return 30

    monkeypatch.setattr(dataloader, "length", length)
    assert main(["loader", f"{path}:data", "--epochs", "2"]) == 0
    assert capsys.readouterr().out.startswith("for 60 samples: ")
    assert wanted == [0]
    assert asked[0]["samples"] == 30
    assert asked[0]["of"] == dataloader.Data(path, "data")
    assert main(["loader", "gpt-tiny"]) == 2
    assert "metalassay loader my.py:dataset" in capsys.readouterr().err
