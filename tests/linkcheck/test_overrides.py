"""Methods that override one of another package, and what its calls pass them."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages_on_disk import read

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Signature
from metalassay.linkcheck import overrides
from metalassay.linkcheck.overrides import Shape
from metalassay.linkcheck.reach import Reach

BASE = """\
    class Trainer:
        def train(self):
            self.get_train_dataloader()
            self.compute_loss(1, 2, num_items_in_batch=3)
            self.get_batch_samples(1, 2)
        def get_train_dataloader(self):
            return make(sampler=self._get_train_sampler)
        def _get_train_sampler(self, train_dataset=None): ...
        def compute_loss(self, model, inputs, num_items_in_batch=None): ...
        def get_batch_samples(self, epoch_iterator, num_batches): ...
        def unused(self, new): ...
    """


def broken(tmp_path: Path, body: str) -> list[tuple[str, str, str]]:
    base = read(tmp_path, "transformers", {"trainer.py": BASE})
    text = f"from transformers.trainer import Trainer\nclass GRPOTrainer(Trainer):\n{body}"
    (tmp_path / "b").mkdir()
    caller = read(tmp_path / "b", "trl", {"grpo.py": text})
    shapes = overrides.shapes(base, Reach(base))
    found = []
    for use in caller.uses():
        if use.kind == "override":
            result = overrides.broken(use, "trl.grpo.GRPOTrainer", caller, base, shapes)
            if result:
                found.append((use.member, result[0], result[1].entry))
    return found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    def _get_train_sampler(self): ...", [("_get_train_sampler", "1 positional argument", "Trainer")]),
        ("    def _get_train_sampler(self, dataset=None): ...", []),
        ("    def _get_train_sampler(self, *args): ...", []),
        ("    def compute_loss(self, model, inputs): ...", [("compute_loss", "num_items_in_batch", "Trainer")]),
        ("    def compute_loss(self, model, inputs, **kwargs): ...", []),
        ("    def compute_loss(self, model, inputs, more, num_items_in_batch): ...",
         [("compute_loss", "more is required", "Trainer")]),
        ("    def get_batch_samples(self, model, batch): ...",
         [("get_batch_samples", "epoch_iterator, num_batches", "Trainer")]),
        ("    def get_batch_samples(self, epoch_iterator, n): ...", []),
        ("    def unused(self): ...", []),
    ],
)  # fmt: skip
def test_an_override_has_to_accept_what_the_base_passes(
    tmp_path: Path, body: str, expected: list[tuple[str, str, str]]
) -> None:
    assert broken(tmp_path, body) == expected


def test_a_method_that_replaced_the_caller_is_not_called_by_it(tmp_path: Path) -> None:
    sampler = "    def _get_train_sampler(self): ...\n"
    assert (
        broken(tmp_path, sampler + "    def get_train_dataloader(self):\n        return 1\n") == []
    )


def test_a_method_that_goes_on_with_super_replaces_nothing(tmp_path: Path) -> None:
    sampler = "    def _get_train_sampler(self): ...\n"
    body = (
        sampler
        + "    def get_train_dataloader(self):\n        return super().get_train_dataloader()\n"
    )
    assert [each[0] for each in broken(tmp_path, body)] == ["_get_train_sampler"]


def test_the_call_that_is_reached_most_surely_is_named() -> None:
    own = api_history.parse("self")
    assert isinstance(own, Signature)
    weak = Shape(1, (), False, "a", "Trainer", 2)
    strong = Shape(2, (), False, "b", "Trainer", 3)
    assert overrides.worst(own, [weak, strong], (), None) == ("2 positional arguments", strong)
