"""`metalassay init-step`: the file it writes, and what it never overwrites."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.cli.main import main


def test_a_file_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.py"
    assert main(["init-step", str(path)]) == 0
    text = path.read_text("utf-8")
    assert "def make(batch_size):" in text
    assert f"metalassay ask {path}" in capsys.readouterr().err
    assert main(["init-step", str(path), "--from-module", "a:B"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["init-step", str(tmp_path / "two words.py")]) == 0
    assert f"metalassay ask '{tmp_path / 'two words.py'}'" in capsys.readouterr().err
    assert path.read_text("utf-8") == text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from-module", "a.b:Net"], "from a.b import Net"),
        (["--from-trainer", "train:build"], "from train import build"),
        (["--from-lightning", "package.lit:LitNet"], "self.module.training_step(batch, 0)"),
    ],
)
def test_it_can_name_a_module_or_a_trainer(tmp_path: Path, options: list[str], words: str) -> None:
    path = tmp_path / "my.py"
    assert main(["init-step", str(path), *options]) == 0
    assert words in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("base", "is_lightning"), [("L.LightningModule", True), ("torch.nn.Module", False)]
)
def test_a_lightning_module_given_as_a_module_is_asked_by_its_training_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], base: str, is_lightning: bool
) -> None:
    (tmp_path / "nets.py").write_text(
        f"import lightning as L\nimport torch\nclass Net({base}): pass\n", "utf-8"
    )
    path = tmp_path / "my.py"
    assert main(["init-step", str(path), "--from-module", "nets:Net"]) == 0
    assert ("training_step(batch, 0)" in path.read_text("utf-8")) is is_lightning
    said = capsys.readouterr().err
    assert ("nets:Net is a LightningModule" in said) is is_lightning
    assert ("--from-lightning" in said) is is_lightning


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["my.txt"], "is no Python file"),
        (["my.py", "--from-module", "a.b"], "not a module and a name"),
        (["my.py", "--from-lightning", "a:"], "--from-lightning 'a:': not a module and a name"),
        (["my.py", "--from-module", "a:B; import os"], "not a module and a name"),
        (["my.py", "--from-module", "a/b.py:Net"], "--from-module a.b:Net"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init-step", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
