"""Ask Inductor whether it lays a training graph of convolutions out as channels_last.

What decides that is Python that every wheel of torch has, and it looks at devices and shapes alone. So a graph whose
tensors exist only as shapes on MPS is asked about on any machine; nothing is compiled or computed.

`inductor_layouts.py DEVICE` prints "channels_last" or "as it is".
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import torch
from torch import fx
from torch._inductor.codegen import common
from torch._inductor.graph import GraphLowering
from torch._subclasses.fake_tensor import FakeTensorMode

WIDE = 128
"""Channels of the second convolution. Inductor leaves a graph alone where no convolution has more than 64."""


def compiles_for(device: str) -> bool:
    """Return whether Inductor has a code generator for a type of device, such as "mps"."""
    # Before torch 2.5 nothing but a plug-in registered one, and there is none for MPS.
    getattr(common, "init_backend_registration", lambda: None)()
    return common.get_scheduling_for_device(device) is not None


def channels_last(device: str, channels: int = WIDE) -> bool:
    """Return whether two convolutions with ``channels`` in the end, trained on a device, would be channels_last."""
    decide = GraphLowering.decide_layout_opt
    # Torch 2.1 does not distinguish inference.
    training = (
        {"is_inference": False} if "is_inference" in inspect.signature(decide).parameters else {}
    )
    return bool(decide(training_graph(device, channels), **training))


def training_graph(device: str, channels: int) -> fx.GraphModule:
    """Return the forward graph of two convolutions of (8, 3, 32, 32), with shapes for tensors."""
    graph = fx.Graph()
    with FakeTensorMode():
        images = _named(graph, "images", torch.empty(8, 3, 32, 32, device=device))
        first = _named(graph, "first", torch.empty(64, 3, 3, 3, device=device))
        second = _named(graph, "second", torch.empty(channels, 64, 3, 3, device=device))
        hidden = _convolution(graph, images, first, torch.empty(8, 64, 32, 32, device=device))
        shape = torch.empty(8, channels, 32, 32, device=device)
        graph.output(_convolution(graph, hidden, second, shape))
    return fx.GraphModule(torch.nn.Module(), graph)


def _named(graph: fx.Graph, name: str, value: torch.Tensor) -> fx.Node:
    node = graph.placeholder(name)
    node.meta["val"] = value
    return node


def _convolution(graph: fx.Graph, images: fx.Node, weight: fx.Node, value: torch.Tensor) -> fx.Node:
    ones, zeros = [1, 1], [0, 0]
    arguments: tuple[Any, ...] = (images, weight, None, ones, ones, ones, False, zeros, 1)
    node = graph.call_function(torch.ops.aten.convolution.default, arguments)
    node.meta["val"] = value
    return node


if __name__ == "__main__":
    print("channels_last" if channels_last(sys.argv[1]) else "as it is")  # noqa: T201
