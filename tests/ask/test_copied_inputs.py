"""Copies of arguments are those from before the call, with their strides and shared memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metalassay.ask import copied_inputs


def test_strides_offsets_and_shared_memory_are_kept() -> None:
    seen: list[Any] = []
    x = torch.arange(24.0).reshape(4, 6)
    view, other = x.t()[1:, ::2], x[2]
    copies = copied_inputs.Copies((view, [other]), {"device": torch.device("meta")})

    def look(one: Tensor, others: list[Tensor], device: torch.device) -> Tensor:
        seen.append((one.stride(), one.storage_offset(), device.type))
        others[0].fill_(-1)
        return one.clone()

    _, result = copies.run(look, None)
    assert seen == [(view.stride(), view.storage_offset(), "cpu")]
    assert int((result == -1).sum()) == 5  # what the second argument changed is seen in the first
    assert float(x.min()) == 0  # and the originals are untouched
    assert copies.originals()[0][1][0].tolist() == other.tolist()


def test_only_tensors_that_share_no_memory_are_changed() -> None:
    x, alone = torch.arange(4.0), torch.arange(3.0)
    copies = copied_inputs.Copies((x, x[:2], alone), {})
    changed = copies.changed(lambda flat, view: (flat + 1, view))
    assert changed is not None
    assert [each.tolist() for each in changed.originals()[0]] == [[0, 1, 2, 3], [0, 1], [1, 2, 3]]
    assert copies.originals()[0][2].tolist() == [0, 1, 2]
    assert copied_inputs.Copies((x, x[:2]), {}).changed(lambda flat, view: (flat, view)) is None
