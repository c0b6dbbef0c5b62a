"""Copies between the CPU and a device, as a dispatch mode sees them; the emulated device has its own tests."""

from __future__ import annotations

import torch

from metalassay.ask import transfers
from metalassay.ask.transfers import TO_CPU, TO_DEVICE, Copy, HostCopies


def test_copies_are_counted_by_direction_and_line() -> None:
    """The device "meta" has no numbers, and takes copies."""
    copies = HostCopies(torch.device("meta"))
    x = torch.ones(3, 4)
    with copies:
        y = x.to("meta")
        y = y.to("meta") + 1
        y.copy_(x)
        x.copy_(x)
    (found,) = copies.found()[:1]
    assert (found.direction, found.calls, found.bytes) == (TO_DEVICE, 1, 48)
    assert found.place.startswith("test_transfers.py:")
    assert sum(each.calls for each in copies.found()) == 2


def test_a_copy_between_others_is_not_ours() -> None:
    copies = HostCopies(torch.device("cuda"))
    with copies:
        torch.ones(2).to("meta")
        torch.ones(2).sum().item()
    assert copies.found() == ()


def test_lines_of_torch_are_of_the_backward_pass() -> None:
    lines = ("/home/x/train.py:3", f"{transfers._TORCH}/autograd/graph.py:9")
    assert transfers._of_the_user(lines) == ("train.py:3",)
    assert Copy(TO_CPU, "train.py:3", 1, 4).direction == "to the CPU"
