"""Mixup: blends of both views and the label with one weight, drawn from the seed and the position alone."""

from __future__ import annotations

import numpy as np
import torch

from metalassay.training.transit import mixup
from metalassay.training.transit.mixup import MixedBatches
from metalassay.training.transit.task import Curves, ShuffledBatches
from metalassay.workloads.registry import Batch


def curves(count: int = 40) -> Curves:
    generator = torch.Generator().manual_seed(0)
    whole, near = (torch.randn(count, 1, bins, generator=generator) for bins in (6, 3))
    return Curves(whole, near, (torch.arange(count) % 2).float())


def source(seed: int = 1) -> MixedBatches:
    return MixedBatches(ShuffledBatches(curves(), 8, seed), 0.4, seed)


def test_both_inputs_and_the_label_are_blended_with_the_same_weight() -> None:
    batch = Batch((torch.eye(3)[:, None], 2 * torch.eye(3)[:, None]), torch.tensor([1.0, 0.0, 0.0]))
    mixed = mixup.blend(batch, 0.75, torch.tensor([1, 2, 0]))
    assert mixed.inputs[0][0, 0].tolist() == [0.75, 0.25, 0.0]
    assert mixed.inputs[1][0, 0].tolist() == [1.5, 0.5, 0.0]
    assert mixed.target.tolist() == [0.75, 0.0, 0.25]


def test_a_batch_depends_on_the_seed_and_the_position_alone() -> None:
    first = source()
    third = [first.next() for _ in range(3)][-1]
    again = source()
    again.seek(2)
    assert again.position() == 2
    second = again.next()
    assert torch.equal(second.target, third.target)
    assert all(torch.equal(a, b) for a, b in zip(second.inputs, third.inputs, strict=True))
    other = source(seed=2)
    other.seek(2)
    assert not torch.equal(other.next().target, third.target)


def test_labels_are_blended_at_all_and_weights_have_the_distribution() -> None:
    batches = source()
    targets = torch.cat([batches.next().target for _ in range(20)])
    assert ((targets > 0) & (targets < 1)).any()
    random = np.random.default_rng(0)
    weights = [mixup.draw(random, 0.4, 4)[0] for _ in range(3000)]
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert abs(np.mean(weights) - 0.5) < 0.03
    assert abs(np.var(weights) - 1 / (4 * 1.8)) < 0.01
