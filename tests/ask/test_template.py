"""The files that `init-step` writes are Python, and those for a module and a Trainer name it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metalassay.ask import contract, template


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (template.text(), "nn.Linear"),
        (template.text("package.models", "Net"), "from package.models import Net"),
        (template.text("train", "build", "trainer"), "from train import build"),
        (template.text("lit", "LitNet", "lightning"), "from lit import LitNet"),
    ],
)
def test_each_is_python_with_what_ask_looks_for(text: str, named: str) -> None:
    tree = ast.parse(text)
    functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert {"make", "loss"} <= functions
    assert named in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_trainers_own_loss_and_data_are_used() -> None:
    class Trainer:
        model = "the model"
        train_dataset = (1, 2, 3)

        def data_collator(self, rows: list[int]) -> dict[str, list[int]]:
            return {"rows": rows}

        def compute_loss(self, model: str, batch: dict[str, list[int]]) -> tuple[str, object]:
            return model, batch["rows"]

    text = template.text("train", "build", "trainer").replace("from train import build", "")
    space: dict[str, object] = {"build": lambda: Trainer()}
    exec(compile(text, "my.py", "exec"), space)  # noqa: S102  (our own template)
    make, loss = space["make"], space["loss"]
    assert callable(make)
    assert callable(loss)
    model, batch = make(4)
    assert (model, batch) == ("the model", {"rows": [1, 2, 3, 1]})
    assert loss(model, batch) == ("the model", [1, 2, 3, 1])


LIT = """
import lightning
import torch
from torch import nn
class LitNet(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    def forward(self, x):
        return self.net(x)
    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss)
        return {"loss": loss, "batch": batch_idx}
    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.randn(20, 6), torch.randint(3, (20,)))
        return torch.utils.data.DataLoader(data, batch_size=4)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)
"""


def test_a_real_lightning_module_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own training_step is what runs, in eager mode and compiled."""
    pytest.importorskip("lightning", reason="lightning is not installed here")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lit_of_mine.py").write_text(LIT, "utf-8")
    path = tmp_path / "mine.py"
    path.write_text(template.text("lit_of_mine", "LitNet", "lightning"), "utf-8")
    file = contract.File(path)
    contract.validate(file, 4)
    subject = file.subject(24, torch.device("cpu"))
    x, y = subject.batch
    assert (x.shape, y.shape) == ((24, 6), (24,))
    net = subject.model.get_submodule("module.net")
    expected = nn.functional.cross_entropy(net(x), y)
    assert float(subject.loss().detach()) == float(expected.detach())
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compiled: Any = torch.compile(subject.model, backend=backend)
    assert subject.loss_of(compiled).requires_grad
    assert graphs


def test_a_lightning_module_without_lightning_is_the_same_file() -> None:
    """What the file asks of a module: its training_step, its loader, and a dict or a tensor as the result."""

    class Loader:
        dataset = (1, 2, 3)

        def collate_fn(self, rows: list[int]) -> list[int]:
            return rows

    class Module(nn.Module):
        def training_step(self, batch: list[int], batch_idx: int) -> object:
            total = torch.tensor(float(sum(batch)))
            return {"loss": total} if len(batch) > 2 else total

        def train_dataloader(self) -> Loader:
            return Loader()

    text = template.text("lit", "Module", "lightning").replace("from lit import Module", "")
    space: dict[str, Any] = {"Module": Module}
    exec(compile(text, "my.py", "exec"), space)  # noqa: S102  (our own template)
    for size, expected in ((4, 7.0), (2, 3.0)):
        assert float(space["loss"](*space["make"](size))) == expected
