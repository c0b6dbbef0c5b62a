"""The limits of MPS that the emulated device has too: each is met, and its message finds its row."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metalassay.bugs import tracebacks
from metalassay.diagnosis import limit_answer


def answer(action: Callable[[], object], kind: type[BaseException] = RuntimeError) -> str:
    """Return the id of the one answer to the exception that ``action`` raises."""
    with pytest.raises(kind) as caught:
        action()
    text = "".join(traceback.format_exception(caught.value))
    [found] = limit_answer.find(tracebacks.clean(text), {"torch": torch.__version__})
    return found.id


def test_a_tensor_left_on_the_cpu_is_refused() -> None:
    layer = torch.nn.Linear(3, 2).to("mps")
    assert answer(lambda: layer(torch.zeros(1, 3))) in {"mps-placeholder-storage", "two-devices"}


def test_a_generator_of_the_cpu_is_refused() -> None:
    generator = torch.Generator()
    drawn = lambda: torch.randperm(3, device="mps", generator=generator)  # noqa: E731
    assert answer(drawn) == "mps-generator-device"


def test_float64_is_refused() -> None:
    assert answer(lambda: torch.ones(2, dtype=torch.float64).to("mps"), TypeError) == "mps-float64"


def test_complex128_is_refused() -> None:
    made = lambda: torch.ones(2, dtype=torch.complex128).to("mps")  # noqa: E731
    assert answer(made, TypeError) == "mps-complex"


def test_processes_cannot_exchange_mps_tensors(tmp_path: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    try:
        tensor = torch.ones(2, device="mps")
        assert answer(lambda: torch.distributed.all_reduce(tensor), Exception) == "gloo-mps"
    finally:
        torch.distributed.destroy_process_group()
