"""Memory, views, random numbers and files of tensors on mps."""

from __future__ import annotations

import copy
import io
import os
import pickle
import threading

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody calls it)


def test_a_view_shares_the_memory_of_its_base() -> None:
    whole = torch.zeros(4, 4, device="mps")
    whole[1] = 1
    whole.t()[0] = 2
    whole[:, 2:].add_(1)
    assert whole.tolist() == [[2, 0, 1, 1], [2, 1, 2, 2], [2, 0, 1, 1], [2, 0, 1, 1]]
    whole.view(2, 8).zero_()
    assert whole.sum().item() == 0
    assert whole[whole == 0].numel() == 16


def test_out_resize_and_set_change_the_given_tensor() -> None:
    target = torch.empty(0, device="mps")
    torch.add(torch.ones(3, device="mps"), 1, out=target)
    assert target.tolist() == [2, 2, 2]
    target.resize_(5)
    assert target.shape == (5,)
    other = torch.empty(0, device="mps")
    other.set_(target)  # type: ignore[call-overload]
    assert other.data_ptr() == target.data_ptr()
    other.resize_(100)
    assert target.untyped_storage().nbytes() == 400
    other.data = torch.zeros(4, device="mps")
    assert other.shape == (4,)


def test_memory_formats_are_kept() -> None:
    image = torch.randn(2, 3, 4, 4, device="mps").to(memory_format=torch.channels_last)
    assert image.is_contiguous(memory_format=torch.channels_last)
    out = torch.nn.Conv2d(3, 3, 1).to("mps")(image)
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_conjugates_and_complex_views_are_correct() -> None:
    number = torch.randn(3, dtype=torch.complex64)
    result = torch.view_as_real((number.to("mps").conj() * 2).resolve_conj())
    torch.testing.assert_close(result.cpu(), torch.view_as_real(number.conj() * 2))


def test_the_same_seed_and_state_give_the_same_random_numbers() -> None:
    torch.manual_seed(1)
    first = torch.rand(3, device="mps")
    torch.mps.manual_seed(1)
    assert torch.equal(first, torch.rand(3, device="mps"))
    state = torch.mps.get_rng_state()
    dropped = F.dropout(torch.ones(50, device="mps"))
    torch.mps.set_rng_state(state)
    assert torch.equal(dropped, F.dropout(torch.ones(50, device="mps")))


@pytest.mark.skipif(
    not torch._C._dispatch_has_kernel_for_dispatch_key("aten::native_dropout", "MPS"),
    reason="native_dropout has a kernel since 2.9",
)
def test_a_kernel_without_a_generator_draws_from_that_of_the_device() -> None:
    ones = torch.ones(50, device="mps")
    torch.manual_seed(5)
    on_cpu = torch.rand(1)
    torch.mps.manual_seed(7)
    first = torch.native_dropout(ones, 0.5, True)[1]
    torch.manual_seed(5)
    torch.mps.manual_seed(7)
    assert torch.equal(first, torch.native_dropout(ones, 0.5, True)[1])
    assert torch.equal(on_cpu, torch.rand(1))


@pytest.mark.skipif(
    torch.__version__.startswith("2.5."), reason="torch 2.5 has no mps generators in a CPU build"
)
def test_a_generator_belongs_to_its_device() -> None:
    generator = torch.Generator("mps").manual_seed(3)
    first = torch.randn(5, device="mps", generator=generator)
    generator.manual_seed(3)
    assert torch.equal(first, torch.randn(5, device="mps", generator=generator))
    with pytest.raises(RuntimeError, match="Expected a 'mps' device type for generator but found"):
        torch.randn(3, device="mps", generator=torch.Generator())


def test_a_state_dict_can_be_loaded_on_either_device() -> None:
    saved = io.BytesIO()
    torch.save(torch.nn.Linear(3, 3).to("mps").state_dict(), saved)
    for where, expected in ((None, "mps"), ("cpu", "cpu"), ("mps", "mps")):
        saved.seek(0)
        assert (
            torch.load(saved, map_location=where, weights_only=True)["weight"].device.type
            == expected
        )
    tensor = torch.ones(3, device="mps")
    assert pickle.loads(pickle.dumps(tensor)).device.type == "mps"  # noqa: S301  (created here)
    assert copy.deepcopy(tensor).device.type == "mps"


def test_data_from_loader_workers_can_be_moved_to_the_device() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(20.0))
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2)
    assert sum(batch[0].to("mps").sum().item() for batch in loader) == 190


def test_threads_and_forked_processes_can_use_the_device() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                leaf = torch.randn(8, 8, device="mps", requires_grad=True)
                F.dropout(leaf @ leaf).sum().backward()
        except BaseException as error:  # noqa: BLE001  (nothing would catch it in a thread)
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    child = os.fork()
    if child == 0:
        os._exit(int(torch.ones(3, device="mps").add_(1).sum().item()) - 6)
    assert os.waitpid(child, 0)[1] == 0


def test_converting_to_numpy_needs_a_copy_on_the_cpu() -> None:
    with pytest.raises(TypeError, match="can't convert mps:0 device type tensor to numpy"):
        torch.ones(2, device="mps").numpy()


def test_memory_is_counted_and_freed() -> None:
    torch.mps.empty_cache()
    before = torch.mps.current_allocated_memory()
    big = torch.ones(1000, 1000, device="mps")
    product = big @ big
    assert torch.mps.current_allocated_memory() - before == 2 * 4_000_000
    del big, product
    assert torch.mps.current_allocated_memory() == before
    assert torch.mps.driver_allocated_memory() >= before + 8_000_000
    torch.mps.empty_cache()
    assert torch.mps.driver_allocated_memory() == before


def test_the_mps_and_accelerator_apis_work() -> None:
    assert torch.backends.mps.is_built()
    assert torch.backends.mps.is_available()
    assert torch.mps.device_count() == 1
    torch.mps.synchronize()
    begin, end = (torch.mps.event.Event(enable_timing=True) for _ in range(2))
    begin.record()
    end.record()
    end.synchronize()
    assert begin.elapsed_time(end) >= 0
    if hasattr(torch.backends.mps, "get_name"):
        assert "emulated" in torch.backends.mps.get_name()
    if hasattr(torch, "accelerator"):
        assert torch.accelerator.current_accelerator() == torch.device("mps")
        assert torch.accelerator.device_count() == 1
        torch.accelerator.synchronize()
    if hasattr(getattr(torch, "accelerator", None), "get_memory_info"):
        assert torch.accelerator.max_memory_allocated() >= torch.accelerator.memory_allocated()


OLD = torch.__version__.startswith(("2.3.", "2.4.", "2.5.", "2.6.", "2.7."))


@pytest.mark.skipif(not OLD, reason="the scaler has kernels since 2.8")
def test_the_gradient_scaler_of_an_old_release_fails_as_on_a_mac() -> None:
    net = torch.nn.Linear(2, 2).to("mps")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("mps")
    scaler.scale(net(torch.ones(1, 2, device="mps")).sum()).backward()
    with pytest.raises(TypeError, match="float64"):
        scaler.step(optimizer)


@pytest.mark.skipif(OLD, reason="the scaler has no kernels before 2.8")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_with_the_gradient_scaler_changes_the_weights(dtype: torch.dtype) -> None:
    net = torch.nn.Linear(4, 4).to("mps")
    before = net.weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("mps", init_scale=8)
    with torch.autocast("mps", dtype=dtype):
        out = net(torch.ones(2, 4, device="mps"))
    assert out.dtype == dtype
    scaler.scale(out.float().sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not torch.equal(before, net.weight)


def test_inference_mode_accepts_ordinary_tensors_and_their_views() -> None:
    table = torch.nn.Embedding(5, 3).to("mps")
    whole = torch.zeros(4, 4, device="mps")
    with torch.inference_mode():
        result = table(torch.tensor([[1, 2]], device="mps"))
        view = whole.view(2, 8)
        view.add_(1)
    assert result.is_inference()
    assert not view.is_inference()
    assert whole.sum().item() == 16
    assert whole._version == view._version > 0
