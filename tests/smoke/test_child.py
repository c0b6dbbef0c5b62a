"""The smoke test's child, run in the real environment of these tests, and with packages that break."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metalassay.environment import versions
from metalassay.smoke import child, parent


@pytest.mark.slow
def test_the_packages_of_this_environment_train() -> None:
    installed = versions.installed()
    if not {"accelerate", "transformers", "torch"} <= installed.keys():
        pytest.skip("accelerate, transformers or torch is not installed")
    stages = {stage.name: stage for stage in parent.run(sys.executable, cpu=True)}
    expected = ["import accelerate", "import transformers", "Accelerator", "Trainer"]
    assert [stages[name].status for name in expected] == ["passed"] * 4, stages
    assert stages["Trainer resume"].works, stages["Trainer resume"]
    for package, stage in (("trl", "SFTTrainer"), ("peft", "LoRA")):
        if package not in installed:
            assert stages[stage].status == "absent"


def test_the_stages_of_child_and_parent_are_the_same() -> None:
    assert tuple(child.STAGES) == parent.TRAINING


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on the path that imports of the child look into first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def package(folder: Path, name: str, code: str) -> None:
    (folder / f"{name}.py").write_text(code)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


def test_a_package_that_cannot_be_imported_fails_with_its_error_and_place(packages: Path) -> None:
    package(packages, "smoke_broken", "def f():\n    raise ImportError('no g')\nf()\n")
    outcome = child.outcome("import smoke_broken")
    assert (outcome["status"], outcome["error"]) == ("failed", "ImportError: no g")
    assert outcome["frames"][-1].endswith("smoke_broken.py:2 f")


def test_a_package_that_exits_has_failed(packages: Path) -> None:
    package(packages, "smoke_exits", "raise SystemExit(0)\n")
    assert child.outcome("import smoke_exits")["status"] == "failed"


def test_what_is_not_installed_is_absent_and_not_failed() -> None:
    outcome = child.outcome("import no-such-package")
    assert outcome == {"status": "absent", "error": "no-such-package is not installed"}


def test_a_name_that_is_listed_and_cannot_be_imported_is_no_absence(packages: Path) -> None:
    package(
        packages,
        "smoke_lazy",
        "__all__ = ['Trainer']\ndef __getattr__(name):\n"
        "    raise ImportError('no vllm') if name == 'Trainer' else AttributeError(name)\n",
    )
    with pytest.raises(ImportError, match="no vllm"):
        child.from_package("smoke_lazy", "Trainer")
    with pytest.raises(child.AbsentError, match="this smoke_lazy has no GRPOTrainer"):
        child.from_package("smoke_lazy", "GRPOTrainer")


class Model:
    def __init__(self) -> None:
        import torch

        self.weight = torch.ones(2)

    def parameters(self) -> list[object]:
        return [self.weight]


class FakeTrainer:
    """Takes ``steps`` and adds ``change`` to the weights."""

    def __init__(self, steps: int, change: float) -> None:
        self.steps, self.change, self.model = steps, change, Model()
        self.state = self

    def train(self, resume_from_checkpoint: str | None) -> None:
        self.global_step = self.steps
        self.model.weight += self.change


@pytest.mark.parametrize(
    ("steps", "change", "complaint"),
    [(0, 1.0, "after 0 of 2 steps"), (2, 0.0, "sum to 2.0"), (2, float("nan"), "sum to nan")],
)
def test_a_training_that_did_nothing_or_diverged_has_failed(
    steps: int, change: float, complaint: str
) -> None:
    child.train(FakeTrainer(2, 1.0), 2)
    with pytest.raises(AssertionError, match=complaint):
        child.train(FakeTrainer(steps, change), 2)


def test_paths_do_not_name_folders_of_this_machine() -> None:
    assert child.short("/home/me/.venv/lib/python3.11/site-packages/trl/a.py") == "trl/a.py"
    assert child.short(os.__file__).endswith("os.py")
    assert child.short("/home/me/train.py") == "train.py"
