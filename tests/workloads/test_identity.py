"""The identity of a workload changes exactly when what is timed changes.

The two models and the recipe are written to files here, edited there, and imported under other names.
"""

from __future__ import annotations

import importlib
import itertools
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import metalassay
from metalassay.workloads import registry
from metalassay.workloads.identity import identity
from metalassay.workloads.registry import MODES, WORKLOADS, Recipe, identify

MODEL = '''
"""A model."""

import torch
from dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """Sizes."""

    width: int = 32
    depth: int = 2


SMALL = Config(width=8)
SLOPE = 0.1


def layers(config: Config) -> list[nn.Module]:
    return [nn.Linear(config.width, config.width) for _ in range(config.depth)]


class Base(nn.Module):
    def activate(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(x, SLOPE)


class Model(Base):
    """Layers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers(config))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.activate(layer(x))
        return x
'''
OTHER = """
from torch import nn


class Unused(nn.Module):
    width = 3
"""
RECIPE = """
from functools import partial

import torch
from torch.nn import functional

from PACKAGE import model
from metalassay.workloads.registry import Batch, Recipe


def data(config: model.Config, batch_size: int, generator: torch.Generator) -> Batch:
    x = torch.randn(batch_size, config.width, generator=generator, dtype=torch.float32)
    return Batch((x,), x)


def loss(logits, target):
    return functional.mse_loss(logits, target)


def make(**settings):
    return Recipe(
        **{
            "name": "mine",
            "build": partial(model.Model, model.SMALL),
            "batch": partial(data, model.SMALL),
            "loss": loss,
            "unit": "samples",
            "items_per_sample": 1,
            "batch_sizes": (4,),
            "learning_rate": 1e-3,
            **settings,
        }
    )
"""
_NUMBERS = itertools.count()


class Written:
    """A package of a recipe and its model, in files; ``identity`` imports it and asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model, self.other, self.recipe = MODEL, OTHER, RECIPE

    def made(self) -> Recipe:
        package = f"written{next(_NUMBERS)}"
        there = self.folder / package
        there.mkdir()
        (there / "__init__.py").write_text("")
        (there / "model.py").write_text(self.model.replace("PACKAGE", package))
        (there / "other.py").write_text(self.other)
        (there / "recipe.py").write_text(self.recipe.replace("PACKAGE", package))
        recipe: Recipe = importlib.import_module(f"{package}.recipe").make()
        return recipe

    def identity(self, mode: str = "train") -> str:
        return identify(self.made(), mode)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Written(tmp_path)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("model", '    """Layers."""\n', "", id="docstring removed"),
        pytest.param("model", '"""A model."""', '"""Another sentence."""', id="module docstring"),
        pytest.param("model", "SLOPE = 0.1", "SLOPE = 0.1  # gentle", id="comment"),
        pytest.param("model", "SLOPE = 0.1", "SLOPE = 1e-1", id="a number written otherwise"),
        pytest.param(
            "model",
            "        return functional.leaky_relu(x, SLOPE)",
            "        return functional.leaky_relu(\n            x,\n            SLOPE,\n        )",
            id="reformatted",
        ),
        pytest.param("model", "x: Tensor) -> Tensor", "x)", id="annotations removed"),
        pytest.param("model", "x = self.activate", "x: Tensor = self.activate", id="annotated"),
        pytest.param("model", "functional", "calls", id="renamed import"),
        pytest.param("model", "\n", "\r\n", id="line ends"),
        pytest.param("other", "width = 3", "width = 4", id="another model"),
        pytest.param("model", "\nSLOPE", "\nUNUSED = 5\nSLOPE", id="an unused constant"),
        pytest.param("recipe", '"unit": "samples"', '"unit": "tokens"', id="what is counted"),
        pytest.param("recipe", '"batch_sizes": (4,)', '"batch_sizes": (8,)', id="default sizes"),
        pytest.param(
            "recipe", "def make(", "def unused(): pass\n\ndef make(", id="another function"
        ),
    ],
)
def test_changes_that_do_not_affect_the_work_leave_the_identity_unchanged(
    written: Written, file: str, old: str, new: str, mode: str
) -> None:
    before = written.identity(mode)
    text = getattr(written, file)
    assert old in text
    changed = text.replace(old, new).replace("nn import calls", "nn import functional as calls")
    setattr(written, file, changed)
    assert written.identity(mode) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("model", "Config(width=8)", "Config(width=9)", id="width"),
        pytest.param("model", "depth: int = 2", "depth: int = 3", id="default of a setting"),
        pytest.param("model", "SLOPE = 0.1", "SLOPE = 0.2", id="a constant of the model"),
        pytest.param("model", "config.width, config.width)", "config.width, config.width, False)", id="layer"),
        pytest.param("model", "functional.leaky_relu", "functional.celu", id="method of a base class"),
        pytest.param("model", "x = self.activate(layer(x))", "x = x + layer(x)", id="forward"),
        pytest.param("recipe", "batch_size, config.width,", "batch_size, 2, config.width,", id="batch shape"),
        pytest.param("recipe", "torch.float32", "torch.float64", id="dtype"),
        pytest.param("recipe", '"items_per_sample": 1', '"items_per_sample": 2', id="items"),
        pytest.param("recipe", "partial(model.Model, model.SMALL)", "partial(model.Model, model.Config())", id="another size"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
def test_the_identity_changes_with_the_work(
    written: Written, file: str, old: str, new: str, mode: str
) -> None:
    before = written.identity(mode)
    text = getattr(written, file)
    assert old in text
    setattr(written, file, text.replace(old, new))
    assert written.identity(mode) != before


def test_learning_rate_and_loss_affect_only_the_training_identity(written: Written) -> None:
    recipe = written.made()
    written.recipe = RECIPE.replace("functional.mse_loss", "functional.l1_loss")
    for other in (replace(recipe, learning_rate=1e-2), written.made()):
        assert identify(recipe, "train") != identify(other, "train")
        assert identify(recipe, "infer") == identify(other, "infer")


def test_the_model_may_move_to_another_file(written: Written) -> None:
    before = written.identity()
    written.other, written.model = written.model, ""
    written.recipe = written.recipe.replace("import model", "import other as model")
    assert written.identity() == before


def test_a_function_imported_where_it_is_called_is_followed(written: Written) -> None:
    written.model = MODEL.replace(
        "        return functional.leaky_relu(x, SLOPE)",
        "        from PACKAGE.other import activation\n        return activation(x)",
    )
    written.other = "def activation(x):\n    return x * 2\n"
    before = written.identity()
    written.other = "def activation(x):\n    return x * 3\n"
    assert written.identity() != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("torch.optim.AdamW", "torch.optim.SGD"),
        ("loss = loss.detach()", "loss = loss.detach() + 0"),
        ("optimizer.zero_grad()", "optimizer.zero_grad(set_to_none=False)"),
        ('"bfloat16": torch.bfloat16', '"bfloat16": torch.float16'),
    ],
)
def test_a_change_of_the_step_changes_the_identity(tmp_path: Path, old: str, new: str) -> None:
    """Edit a copy of the package, and ask it in a process of its own."""
    assert asked(copied(tmp_path / "edited", old, new)) != identify(WORKLOADS["gpt-tiny"], "train")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("did not lower the loss", "failed to lower the loss"),
        ("# the caller's random numbers stay unchanged", "# reworded"),
        ("use --dtype float32 or a newer torch", "try float32"),
        ("SMALLEST_SCALE = 0.1", "SMALLEST_SCALE = 0.2"),
    ],
)
def test_changes_of_checks_and_messages_leave_the_identity_unchanged(
    tmp_path: Path, old: str, new: str
) -> None:
    assert asked(copied(tmp_path / "edited", old, new)) == identify(WORKLOADS["gpt-tiny"], "train")


def copied(folder: Path, old: str, new: str) -> Path:
    package = Path(metalassay.__file__).parent
    shutil.copytree(package, folder / "metalassay", ignore=shutil.ignore_patterns("__pycache__"))
    edited = folder / "metalassay" / Path(registry.__file__).relative_to(package)
    text = edited.read_text()
    assert old in text
    edited.write_text(text.replace(old, new))
    return folder


def asked(folder: Path) -> str:
    program = (
        f"import importlib, sys; sys.path.insert(0, {str(folder)!r});"
        f" workloads = importlib.import_module({registry.__name__!r});"
        f" assert workloads.__file__.startswith({str(folder)!r});"
        " print(workloads.identify(workloads.get('gpt-tiny'), 'train'))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_the_identities_of_all_workloads_are_pinned() -> None:
    """A change here makes all earlier figures of that workload incomparable: is that meant?"""
    today = {
        f"{name} {mode}": identify(WORKLOADS[name], mode) for name in WORKLOADS for mode in MODES
    }
    assert today == {
        "transit-cnn train": "ast1-08da3a060557",
        "transit-cnn infer": "ast1-f09e5d46695e",
        "gpt-tiny train": "ast1-33277c3b61b4",
        "gpt-tiny infer": "ast1-f6078c476a17",
        "gpt-small train": "ast1-1f03fbfacd0a",
        "gpt-small infer": "ast1-4986fd95d0ff",
        "gpt-original train": "ast1-b74caebc2ae7",
        "gpt-original infer": "ast1-27fd177388e5",
    }


def test_a_value_without_a_stable_description_has_no_identity() -> None:
    with pytest.raises(TypeError, match="no stable description of <object object"):
        identity(object())


def sample(x: int, *, scale: float = 2.0) -> str:
    """Use what newer Pythons parse into trees with other fields."""
    names = [f"{x:>{len(_written)}} {scale!r}" for _written in ("a", "b")]
    match x:
        case 1 | 2:
            return "".join(names)
        case _:
            return (lambda *, y=3: str(y))()


def test_the_identity_is_the_same_in_every_python() -> None:
    assert identity(sample) == "ast1-abb16fddaf0d"


def test_equal_values_have_equal_identities() -> None:
    assert identity({1, 2, 3}, (1.0, "a")) == identity({3, 2, 1}, [1.0, "a"])
    assert re.fullmatch("ast1-[0-9a-f]{12}", identity(1))
    assert identity(1) != identity("1")
