"""Own sizes of the mini GPT: what fits together, how many parameters, and how much memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metalassay.errors import UserError
from metalassay.training.gpt import shape
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig

NONE: dict[str, int | None] = dict.fromkeys(shape.FIELDS)


def test_an_own_value_replaces_that_of_the_size() -> None:
    assert shape.of(None, NONE) == ("tiny", shape.SIZES["tiny"])
    own = {**NONE, "layers": 3, "width": 30, "heads": 5}
    assert shape.of("small", own) == ("small", TinyGPTConfig(2000, 128, 3, 5, 30))


@pytest.mark.parametrize(
    ("own", "message", "following"),
    [
        ({"heads": 5}, "--width 16 cannot be split between --heads 5", "--heads 4 or 8"),
        ({"heads": 5}, "--width 16 cannot", "--width 15 or 20"),
        ({"heads": 99}, "--width 16 cannot", "--width 99, or --heads 16"),
        ({"vocabulary": 257}, "--vocabulary 257 is too small", "--vocabulary 258"),
    ],
)
def test_values_that_do_not_fit_together_are_refused_with_those_that_do(
    own: dict[str, int], message: str, following: str
) -> None:
    with pytest.raises(UserError) as caught:
        shape.of("tiny", {**NONE, **own})
    assert caught.value.message.startswith(message)
    assert following in caught.value.next_step
    shape.of("tiny", {**NONE, "heads": 4, "vocabulary": 258})


def test_a_run_keeps_its_shape_in_its_configuration() -> None:
    assert shape.stored("small", shape.SIZES["small"]) == {"size": "small"}  # as older runs have it
    own = TinyGPTConfig(300, 32, 1, 2, 8)
    assert shape.of_run(shape.stored("tiny", own)) == ("tiny", own)
    assert shape.of_run({"size": "original"}) == ("original", shape.SIZES["original"])


@pytest.mark.parametrize(
    "config",
    [*shape.SIZES.values(), TinyGPTConfig(300, 48, 3, 5, 40), TinyGPTConfig(258, 2, 1, 1, 1)],
)
def test_the_number_of_parameters_is_that_of_the_model(config: TinyGPTConfig) -> None:
    counted = sum(parameter.numel() for parameter in TinyGPT(config).parameters())
    assert shape.parameters(config) == counted


def test_the_learning_rate_falls_with_the_width() -> None:
    def rate(width: int) -> float:
        return shape.peak_rate("tiny", TinyGPTConfig(300, 8, 1, 1, width))

    assert [rate(16), rate(20), rate(25), rate(160)] == [1e-2, 1e-2, 3e-3, 3e-3]
    assert rate(320) == pytest.approx(1.5e-3)
    assert shape.peak_rate("original", shape.SIZES["original"]) == 3e-3


# Without the settings of malloc that training uses, which keep freed memory and so hide the need.
MEASURED = """
import sys
import torch
from metalassay.machine.process_memory import peak_rss
from metalassay.training import loop
from metalassay.training.batch_try import Same
from metalassay.training.gpt import cross_entropy
from metalassay.workloads.models.tiny_gpt import TinyGPT, TinyGPTConfig
from metalassay.workloads.registry import Batch

if sys.argv[1] == "whole":  # as on a GPU
    cross_entropy._in_blocks = lambda *_: False

def steps(config, batch):
    tokens = torch.randint(0, config.vocabulary, (batch, config.context + 1))
    data = Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous())
    trained = loop.Task({}, TinyGPT(config), Same(data), cross_entropy.loss, "", 1)
    recipe = loop.Recipe(9, 1e-4)
    state = loop.start(trained, recipe, torch.device("cpu"))
    for _ in range(3):
        loop.update(trained, state, recipe)

torch.set_num_threads(1)
steps(TinyGPTConfig(300, 8, 1, 1, 8), 1)  # torch's own memory
before = peak_rss()
steps(TinyGPTConfig(*map(int, sys.argv[3:])), int(sys.argv[2]))
print(peak_rss() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports no peak of the memory")
@pytest.mark.parametrize("in_blocks", [True, False])
@pytest.mark.parametrize(
    ("batch", "config"),
    [
        (32, shape.SIZES["original"]),  # most are activations of the blocks
        (16, TinyGPTConfig(20000, 128, 16, 4, 64)),  # many are logits
        (1, TinyGPTConfig(1000, 128, 8, 8, 512)),  # most are weights and their moments
    ],
)
def test_the_estimated_memory_is_that_of_a_measured_run_within_30_percent(
    batch: int, config: TinyGPTConfig, in_blocks: bool
) -> None:
    values = [config.vocabulary, config.context, config.layers, config.heads, config.channels]
    command = [
        sys.executable,
        "-c",
        MEASURED,
        "blocks" if in_blocks else "whole",
        *map(str, [batch, *values]),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured, estimated = int(done.stdout), shape.step_bytes(config, batch, in_blocks=in_blocks)
    assert estimated > 150e6  # or the allocator's own memory would count
    # "At least": blocks of freed memory between those in use come on top.
    assert 0.95 * estimated < measured < 1.3 * estimated
