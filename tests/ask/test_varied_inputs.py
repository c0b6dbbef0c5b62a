"""Other inputs for an operator are other in what is said of them alone."""

from __future__ import annotations

import torch

from metalassay.ask import varied_inputs
from metalassay.ask.copied_inputs import Copies
from metalassay.ask.varied_inputs import NOT_FINITE, STRIDED


def test_the_numbers_are_the_same_in_another_layout() -> None:
    given = (torch.arange(24.0).reshape(2, 3, 4), torch.arange(5), torch.tensor(3.0), 2)
    found = dict(varied_inputs.of("aten::add.Tensor", Copies(given, {"alpha": 1})))
    (cube, row, scalar, number), keywords = found[STRIDED].originals()
    assert torch.equal(cube, given[0])
    assert cube.stride() == (24, 2, 6)
    assert torch.equal(row, given[1])
    assert row.stride() == (2,)
    assert (scalar.item(), number, keywords) == (3.0, 2, {"alpha": 1})


def test_a_nan_and_both_infinities_are_put_into_floating_point_numbers() -> None:
    given = (torch.zeros(2, 3), torch.arange(4), torch.zeros(1), torch.zeros(1).expand(3))
    found = dict(varied_inputs.of("aten::add.Tensor", Copies(given, {})))
    (x, places, single, expanded), _ = found[NOT_FINITE].originals()
    assert str(x.tolist()) == "[[nan, 0.0, 0.0], [inf, 0.0, -inf]]"
    assert torch.equal(places, given[1])
    assert bool(single.isnan().all())
    assert torch.equal(expanded, given[3])


def test_what_cannot_be_changed_is_left_out() -> None:
    assert list(varied_inputs.of("aten::relu", Copies((torch.tensor(True),), {}))) == []
    convolution = varied_inputs.of("aten::convolution", Copies((torch.zeros(2, 3),), {}))
    assert [what for what, _ in convolution] == [STRIDED]
