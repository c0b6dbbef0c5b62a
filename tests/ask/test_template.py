"""The files that `init-step` writes are Python, and those for a module and a Trainer name it."""

from __future__ import annotations

import ast

import pytest

from metalassay.ask import template


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (template.text(), "nn.Linear"),
        (template.text("package.models", "Net"), "from package.models import Net"),
        (template.text("train", "build", trainer=True), "from train import build"),
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

    text = template.text("train", "build", trainer=True).replace("from train import build", "")
    space: dict[str, object] = {"build": lambda: Trainer()}
    exec(compile(text, "my.py", "exec"), space)  # noqa: S102  (our own template)
    make, loss = space["make"], space["loss"]
    assert callable(make)
    assert callable(loss)
    model, batch = make(4)
    assert (model, batch) == ("the model", {"rows": [1, 2, 3, 1]})
    assert loss(model, batch) == ("the model", [1, 2, 3, 1])
