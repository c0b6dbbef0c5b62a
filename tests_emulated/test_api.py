"""Parts of torch's API that a CPU build has without mps, or not at all."""

from __future__ import annotations

import copy
import pickle
import platform
from typing import Any

import pytest
import torch

from metalassay.mps.emulator.session import current


def test_signposts_can_be_switched_on_and_off() -> None:
    emulation = current()
    assert emulation is not None
    before = len(emulation.signposts)
    with torch.mps.profiler.profile(mode="interval,event", wait_until_completed=True):
        assert torch.ones(2, device="mps").sum().item() == 2
    assert emulation.signposts[before:] == ["start interval,event, waits until completed", "stop"]
    assert not torch.mps.profiler.is_metal_capture_enabled()
    assert not torch.mps.profiler.is_capturing_metal()


def test_what_needs_metal_names_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="emulated mps device has no Metal compiler"):
        torch.mps.compile_shader("kernel void f() {}")
    with (
        pytest.raises(NotImplementedError, match="emulated mps device has no Metal captures"),
        torch.mps.profiler.metal_capture("trace.gputrace"),
    ):
        pass


def model() -> torch.nn.Module:
    """Return a model with a parameter, a buffer and a dropout."""
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh())


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_a_compiled_model_has_the_results_and_gradients_of_the_eager_one(backend: str) -> None:
    torch.manual_seed(0)
    eager = model().to("mps")
    compiled: Any = torch.compile(copy.deepcopy(eager), backend=backend)
    x = torch.randn(3, 4, device="mps")
    for each in (eager, compiled):
        each(x).square().sum().backward()
    for expected, found in zip(eager.parameters(), compiled.parameters(), strict=True):
        assert expected.grad is not None
        assert found.grad is not None
        torch.testing.assert_close(found.grad, expected.grad)


def test_a_compiled_function_that_makes_its_tensors_runs_on_the_device() -> None:
    made = torch.compile(lambda: torch.arange(3, device="mps") * 2)()
    assert (made.device.type, made.tolist()) == ("mps", [0, 2, 4])


def test_an_operator_without_a_kernel_is_rejected_when_compiled() -> None:
    compiled = torch.compile(lambda x: torch.mode(x))
    with pytest.raises(NotImplementedError, match="aten::mode"):
        compiled(torch.ones(3, device="mps"))


def test_storages_can_be_made_and_copied_on_the_device() -> None:
    storage = torch.UntypedStorage([1, 2, 3], device="mps")
    assert (storage.device.type, storage.nbytes()) == ("mps", 3)
    assert storage.clone().cpu().tolist() == [1, 2, 3]
    assert torch.UntypedStorage(5, device=torch.device("mps")).nbytes() == 5
    assert torch.UntypedStorage(5).device.type == "cpu"


def test_a_generator_can_be_pickled_with_its_state() -> None:
    generator = torch.Generator("mps")
    generator.manual_seed(3)
    torch.rand(5, device="mps", generator=generator)
    again = pickle.loads(pickle.dumps(generator))  # noqa: S301  (our own bytes)
    expected = torch.rand(5, device="mps", generator=generator)
    assert torch.equal(torch.rand(5, device="mps", generator=again), expected)


def test_the_cache_for_pinned_memory_can_be_emptied() -> None:
    torch.accelerator.empty_host_cache()


def test_only_the_libraries_that_ask_before_using_mps_see_the_processor_of_a_mac() -> None:
    names: dict[str, object] = {"__name__": "lightning.fabric.accelerators.mps"}
    exec("import platform; seen = platform.processor()", names)  # noqa: S102  (as in that module)
    assert names["seen"] == "arm"
    assert platform.processor() != "arm" or platform.machine().startswith("a")
