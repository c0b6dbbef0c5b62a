"""torch.compile: one real compilation, and one that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metalassay.ask import compiled, contract, template

CPU = torch.device("cpu")


@pytest.fixture
def file(tmp_path: Path) -> contract.File:
    path = tmp_path / "mine.py"
    path.write_text(template.text(), "utf-8")
    return contract.File(path)


@pytest.mark.slow
def test_the_same_loss_and_what_compiling_costs(
    file: contract.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")  # as inductor, without a C++ compiler
    found = compiled.ask(file, CPU, 4, 0.01)
    assert found.why == ""
    assert found.same
    assert found.graphs == 1
    assert found.breaks == ()
    assert found.compile_seconds is not None


def test_what_does_not_compile_has_its_cause(
    file: contract.File, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: torch.nn.Module, backend: str) -> torch.nn.Module:
        try:
            raise OSError("no C++ compiler")
        except OSError as error:
            raise RuntimeError("backend failed") from error

    monkeypatch.setattr(torch, "compile", refuse)
    found = compiled.ask(file, CPU, 4, 0.01)
    assert "no C++ compiler" in found.why
    assert not found.same


@pytest.mark.slow
def test_a_loss_that_goes_around_the_model_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    path = tmp_path / "around.py"
    path.write_text(
        template.text().replace(
            'model(batch["x"])', 'getattr(model, "_orig_mod", model)(batch["x"])'
        ),
        "utf-8",
    )
    found = compiled.ask(contract.File(path), CPU, 4, 0.01)
    assert "nothing was compiled" in found.why
