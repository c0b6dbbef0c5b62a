"""Operations that the MPS backend silently computed wrongly in some release, one function for each.

A function asserts that the device computes what the CPU computes. It runs in a process of its own
(mps_child.py), because some of the operations abort the process. All computations on the device go
through ``under_test``, where our own tests substitute a faulty device.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from packaging.version import Version
from torch import Tensor, nn
from torch.nn import functional

Compute = Callable[[str], Tensor]


class UnsupportedError(Exception):
    """This torch or this machine does not support what the hazard needs."""


def under_test(compute: Compute, device: str) -> Tensor:
    """Return the result of ``compute`` on the device, copied to the CPU."""
    torch.manual_seed(0)
    return compute(device).detach().cpu()


def agree(compute: Compute, device: str, what: str, tolerance: float = 1e-4) -> None:
    """Assert that the device computes what the CPU does; the message starts with ``what``."""
    torch.manual_seed(0)
    expected = compute("cpu").detach()
    result = under_test(compute, device)
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape), (
        f"{what}: another dtype or shape"
    )
    same = torch.isclose(result, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    wrong = (~same).sum().item()
    assert not wrong, f"{what}: {wrong} of {expected.numel()} values differ from the CPU's"


@contextmanager
def unless_refused(
    kind: type[Exception] | tuple[type[Exception], ...], words: str
) -> Iterator[None]:
    """Turn an error of this kind that contains ``words`` into ``UnsupportedError``.

    A refusal is either correct or has a test of its own.
    """
    try:
        yield
    except kind as error:
        if words not in str(error):
            raise
        raise UnsupportedError(f"refused: {error}") from None


# Writing to memory with gaps or in another order.


def in_place_arithmetic_reaches_a_transpose(device: str) -> None:
    def compute(device: str) -> Tensor:
        y, z = torch.rand(6, 4).to(device), torch.rand(6, 4).to(device) + 0.5
        product, quotient = (torch.rand(4, 6).to(device).t() for _ in range(2))
        product.addcmul_(y, z, value=2)
        quotient.addcdiv_(y, z, value=2)
        return torch.cat([product, quotient])

    agree(compute, device, "addcmul_ or addcdiv_ left a transpose unwritten")


def adam_trains_a_transposed_parameter(device: str) -> None:
    def compute(device: str) -> Tensor:
        parameter = nn.Parameter(torch.rand(4, 6).to(device).t())
        optimizer = torch.optim.Adam([parameter], lr=0.1)
        (parameter**2).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return parameter

    agree(compute, device, "Adam did not train a transposed parameter")


def random_numbers_reach_a_transpose(device: str) -> None:
    def compute(device: str) -> Tensor:
        drawn = []
        for fill in ("normal_", "uniform_", "exponential_", "bernoulli_", "random_"):
            target = torch.zeros(5, 7, device=device).t()
            getattr(target, fill)()
            drawn.append((target != 0).any().cpu())
        return torch.stack(drawn)

    assert under_test(compute, device).all(), "random numbers left a transpose unwritten"


def bitwise_results_reach_a_gap(device: str) -> None:
    def compute(device: str) -> Tensor:
        left, right = (torch.randint(0, 255, (8, 6)).to(device) for _ in range(2))
        out = torch.zeros(8, 12, dtype=torch.int64, device=device)
        for operation in (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor):
            operation(left, right, out=out[:, ::2])
            left = left + out[:, ::2]
        return out

    agree(compute, device, "a bitwise operation missed its strided output")


def neighbouring_cells_keep_their_values(device: str) -> None:
    def compute(device: str) -> Tensor:
        cells = torch.zeros(4, device=device)
        cells[1] = 1
        cells[2] = 3
        return cells

    agree(compute, device, "one assignment changed another cell")


def isfinite_leaves_its_neighbours_alone(device: str) -> None:
    """Reported for 1.5 million rows and more, in nine runs of ten: hence the five attempts."""
    rows = 1_600_000 if device == "mps" else 160
    if device == "mps":
        require_memory(8)

    def compute(device: str) -> Tensor:
        intact = []
        for _ in range(5):
            table = torch.ones(rows, 464, device=device)
            guards = [torch.full((rows,), 7.0, device=device) for _ in range(8)]
            for question in (torch.isfinite, torch.isinf):
                answer = question(table[:, 4:50])
                intact.append((answer == (question is torch.isfinite)).all().cpu())
            intact += [(guard == 7).all().cpu() for guard in guards]
        return torch.stack(intact)

    assert under_test(compute, device).all(), "isfinite or isinf on a slice wrote elsewhere"


# Edge cases: NaN, empty tensors, large integers.


def maximum_passes_nan_on(device: str) -> None:
    def compute(device: str) -> Tensor:
        left = torch.tensor([1.0, float("nan"), 3.0, 4.0]).to(device)
        right = left.flip(0)
        return torch.cat([torch.maximum(left, right), torch.minimum(left, right)])

    agree(compute, device, "maximum or minimum dropped a NaN")


def argmax_finds_nan(device: str) -> None:
    def compute(device: str) -> Tensor:
        values = torch.tensor([1.0, float("nan"), 3.0]).to(device)
        return torch.stack([values.argmax(), values.argmin()])

    agree(compute, device, "argmax or argmin passed over a NaN")


def clamp_passes_nan_on(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.tensor([float("nan"), -2.0, 0.5]).to(device).clamp(-1, 1)

    agree(compute, device, "clamp turned a NaN into a number")


def all_of_nothing_is_true(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.zeros(64, 0, dtype=torch.bool, device=device).all(1)

    agree(compute, device, "all() over an empty axis is not true")


def cumsum_of_booleans_counts_beyond_127(device: str) -> None:
    def compute(device: str) -> Tensor:
        return torch.ones(300, dtype=torch.bool, device=device).cumsum(0)

    agree(compute, device, "cumsum of booleans overflowed")


def abs_of_large_integers_is_exact(device: str) -> None:
    def compute(device: str) -> Tensor:
        # int32 shows it too, and old releases refuse int64.
        values = torch.tensor([-(2**24 + 1), 2**24 + 1, -(2**30 + 1)], dtype=torch.int32)
        return values.to(device).abs()

    agree(compute, device, "abs rounded an integer", tolerance=0)


# Copies.


def non_blocking_copies_arrive(device: str) -> None:
    """The source is freed before the copy has finished, and its memory may be in use again."""

    def compute(device: str) -> Tensor:
        copies = [
            torch.full((1024,), float(number)).to(device, non_blocking=True)
            for number in range(2048)
        ]
        return torch.stack([copy[-1] for copy in copies])

    agree(compute, device, "a non_blocking copy delivered other values")


# Products.


def linear_takes_a_transposed_weight(device: str) -> None:
    def compute(device: str) -> Tensor:
        weight, x = torch.randn(32, 16).to(device), torch.randn(3, 32).to(device)
        return functional.linear(x, weight.t())

    agree(compute, device, "linear misread a transposed weight")


def linear_takes_a_transposed_bfloat16_weight(device: str) -> None:
    def compute(device: str) -> Tensor:
        x, weight = in_bfloat16(device, torch.randn(2, 256, 256), torch.randn(256, 256))
        return functional.linear(x, weight.t()).float()

    agree(compute, device, "linear in bfloat16 is wrong", tolerance=0.3)


def long_products_end_where_they_should(device: str) -> None:
    """From 32769 on, where torch 2.14 stops using Apple's kernel; shorter ones still use it."""

    def compute(device: str) -> Tensor:
        totals = []
        for length in (32_769, 40_000):
            unclean(device)
            left, right = whole(32, length).to(device), whole(length, 32).to(device)
            totals.append(left @ right)
        return torch.stack(totals)

    agree(compute, device, "a long matrix product summed past the end", tolerance=0)


def long_batched_products_end_where_they_should(device: str) -> None:
    def compute(device: str) -> Tensor:
        totals = []
        for length in (32_767, 32_769, 40_000):
            unclean(device)
            left, right = whole(2, 32, length).to(device), whole(2, length, 32).to(device)
            totals += [torch.bmm(left, right), torch.einsum("bik,bkj->bij", left, right)]
        return torch.stack(totals)

    agree(compute, device, "a long batched product summed past the end", tolerance=0)


def huge_batched_products_are_right_to_the_last(device: str) -> None:
    """The output has more than 2**32 elements; three of its batches are compared."""
    batches = 65_536 + 16 if device == "mps" else 16
    if device == "mps":
        # Without the tiles of macOS 15 there is an error, or Apple's library ends the process.
        require_torch("2.4")
        require_macos(15)
        require_memory(12)

    def compute(device: str) -> Tensor:
        left = torch.arange(batches * 512).remainder(7).view(batches, 2, 256).half()
        right = torch.arange(batches * 512).remainder(5).view(batches, 2, 256).half()
        chosen = [0, batches // 2, batches - 1]
        if device == "cpu" and batches > 16:  # the CPU need not compute the rest
            left, right, batch = left[chosen], right[chosen], [0, 1, 2]
        else:
            batch = chosen
        left = left.to(device).transpose(1, 2)  # (batches, 256, 2)
        product = torch.bmm(left, right.to(device))
        return torch.stack([product[index].cpu() for index in batch])

    agree(compute, device, "a huge batched product is wrong")


# Attention: q, k, v are (batch, heads, length, head size).


def attention_takes_a_transposed_query(device: str) -> None:
    """A batch of one: with more, the kernel of torch 2.9 to 2.11 fails for another reason."""

    def compute(device: str) -> Tensor:
        results = []
        for size in (64, 96, 128):
            for length in (2, 4, 8):
                q = torch.randn(1, length, 4, size).to(device).transpose(1, 2)
                k, v = (torch.randn(1, 4, 40, size).to(device) for _ in range(2))
                results.append(functional.scaled_dot_product_attention(q, k, v).flatten())
        return torch.cat(results)

    agree(compute, device, "attention misread a transposed query")


def attention_takes_permuted_inputs(device: str) -> None:
    def compute(device: str) -> Tensor:
        q, k, v = (torch.randn(84, 3, 3, 64).to(device).permute(0, 2, 1, 3) for _ in range(3))
        return functional.scaled_dot_product_attention(q, k, v)

    agree(compute, device, "attention misread permuted inputs")


def attention_shares_keys_among_queries(device: str) -> None:
    def compute(device: str) -> Tensor:
        shapes = ((1, 32, 1, 128), (1, 2, 1024, 128), (1, 2, 1024, 128))
        q, k, v = in_bfloat16(device, *(torch.randn(shape) for shape in shapes))
        with unless_refused(TypeError, "enable_gqa"):  # torch below 2.5
            result = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return result.float()

    agree(compute, device, "attention with shared keys is wrong", tolerance=1e-2)


# Convolutions.


def far_and_wide_conv1d(device: str) -> Tensor:
    x, weight = torch.randn(1, 1, 66_000).to(device), torch.randn(1, 1, 3).to(device)
    many = torch.randn(65_540, 1, 3).to(device)
    far, wide = functional.conv1d(x, weight), functional.conv1d(x[..., :3], many)
    return torch.cat([far.flatten(), wide.flatten()])


def wide_conv2d(device: str) -> Tensor:
    x, weight = torch.randn(1, 1, 3, 3).to(device), torch.randn(65_540, 1, 3, 3).to(device)
    return functional.conv2d(x, weight, padding=1)


def conv1d_accepts_large_dimensions(device: str) -> None:
    under_test(far_and_wide_conv1d, device)


def conv2d_accepts_large_dimensions(device: str) -> None:
    under_test(wide_conv2d, device)


def conv1d_is_right_in_large_dimensions(device: str) -> None:
    with unless_refused(NotImplementedError, "Output channels > 65536"):
        agree(far_and_wide_conv1d, device, "conv1d is wrong beyond 65536")


def conv2d_is_right_in_large_dimensions(device: str) -> None:
    with unless_refused(NotImplementedError, "Output channels > 65536"):
        agree(wide_conv2d, device, "conv2d is wrong beyond 65536")


def conv2d_takes_a_sliced_weight(device: str) -> None:
    def compute(device: str) -> Tensor:
        weight, x = torch.randn(3, 8, 3, 3, 3).to(device), torch.randn(2, 8, 16, 16).to(device)
        return functional.conv2d(x, weight[:, :, 1])

    agree(compute, device, "conv2d misread a sliced weight", tolerance=1e-3)


# Normalisation.


def channels_last_batch_norm(device: str) -> Tensor:
    x = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last).to(device)
    pull = torch.randn(4, 3, 8, 8).to(device)
    x.requires_grad_()
    layer = nn.BatchNorm2d(3).to(device)
    (layer(x) * pull).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    return torch.cat([x.grad.flatten(), layer.weight.grad])


def batch_norm_accepts_channels_last(device: str) -> None:
    under_test(channels_last_batch_norm, device)


def batch_norm_trains_on_channels_last(device: str) -> None:
    what = "batch_norm has wrong gradients for channels_last"
    with unless_refused(RuntimeError, "view size is not compatible"):
        agree(channels_last_batch_norm, device, what, tolerance=1e-3)


def lstm_hands_gradients_to_a_permuted_input(device: str) -> None:
    def compute(device: str) -> Tensor:
        layer = nn.LSTM(4, 5).to(device)
        x = torch.randn(3, 7, 4).to(device).transpose(0, 1).requires_grad_()
        return torch.autograd.grad(layer(x)[0].square().sum(), x)[0]

    agree(compute, device, "an LSTM has wrong gradients for a permuted input", tolerance=1e-3)


def normalisation_takes_a_slice(device: str) -> None:
    def compute(device: str) -> Tensor:
        x = torch.randn(6, 8, 8).to(device)
        layers = functional.layer_norm(x[2:], (8,))
        batches = functional.batch_norm(x[3:], None, None, training=True)
        return torch.cat([layers.flatten(), batches.flatten()])

    agree(compute, device, "normalisation of a slice read from elsewhere", tolerance=1e-3)


def layer_norm_trains_on_a_frozen_input(device: str) -> None:
    def compute(device: str) -> Tensor:
        layer = nn.LayerNorm(8).to(device)
        (layer(torch.randn(5, 8).to(device)) * torch.randn(5, 8).to(device)).sum().backward()
        assert layer.weight.grad is not None
        assert layer.bias.grad is not None
        return torch.cat([layer.weight.grad, layer.bias.grad])

    agree(compute, device, "layer_norm has wrong gradients for a frozen input", tolerance=1e-3)


def compiled_layer_norm_is_layer_norm(device: str) -> None:
    if device == "mps":
        require_torch("2.7")  # the first with an Inductor for MPS

    def compute(device: str) -> Tensor:
        layer, x = nn.LayerNorm(512).to(device).eval(), torch.randn(4, 512).to(device)
        # A torch that is older than this Python compiles nothing.
        with torch.inference_mode(), unless_refused(RuntimeError, "not supported on Python"):
            # The reference is the CPU without compilation.
            result: Tensor = (layer if device == "cpu" else torch.compile(layer))(x)
        return result

    agree(compute, device, "a compiled LayerNorm is wrong", tolerance=1e-3)


def compiled_sum_of_a_broadcast_is_the_sum(device: str) -> None:
    if device == "mps":
        require_torch("2.7")  # the first with an Inductor for MPS
    first, second = whole(32), whole(64)

    def difference(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] - b[None, :]).sum()

    def compute(device: str) -> Tensor:
        # A torch that is older than this Python compiles nothing. The reference is not compiled.
        with unless_refused(RuntimeError, "not supported on Python"):
            run = difference if device == "cpu" else torch.compile(difference)
            return run(first.to(device), second.to(device))

    agree(compute, device, "a compiled sum of a broadcast is wrong")


# Optimizers.


def fused_adam_heeds_found_inf(device: str) -> None:
    def compute(device: str) -> Tensor:
        parameter = nn.Parameter(torch.ones(4, device=device))
        parameter.grad = torch.ones_like(parameter)
        with unless_refused(RuntimeError, "fused"):
            optimizer = torch.optim.Adam([parameter], fused=True)
        # What a GradScaler sets after a gradient has overflowed.
        optimizer.found_inf = torch.ones((), device=device)  # type: ignore[attr-defined]
        optimizer.grad_scale = torch.ones((), device=device)  # type: ignore[attr-defined]
        with unless_refused(RuntimeError, "not supported on MPS"):  # torch 2.5 to 2.7
            optimizer.step()
        return parameter

    agree(compute, device, "fused Adam stepped although a gradient overflowed")


# Helpers.


def whole(*shape: int) -> Tensor:
    """Return small whole numbers, whose sums float32 represents exactly for tens of thousands of them."""
    return torch.randint(-3, 4, shape).float()


def in_bfloat16(device: str, *tensors: Tensor) -> list[Tensor]:
    """Return the tensors on the device in bfloat16; ``UnsupportedError`` where it has no such type."""
    # Before macOS 14, and in old releases; the wording differs from release to release.
    with unless_refused((TypeError, RuntimeError), "loat16"):
        return [tensor.to(device, torch.bfloat16) for tensor in tensors]


def require_torch(version: str) -> None:
    """Raise ``UnsupportedError`` if torch is older."""
    if Version(torch.__version__) < Version(version):
        raise UnsupportedError(f"needs torch {version}; this is {torch.__version__}")


def require_macos(major: int) -> None:
    """Raise ``UnsupportedError`` on an older macOS; elsewhere, on an emulated MPS, nothing is required."""
    release = platform.mac_ver()[0]
    if release and int(release.partition(".")[0]) < major:
        raise UnsupportedError(f"needs macOS {major}; this is {release}")


def unclean(device: str) -> None:
    """Leave large numbers in memory that the next tensors may be given or may be next to."""
    for size in (2**20, 2**18, 2**16):
        torch.full((size,), 1e6, device=device)


def require_memory(gigabytes: int) -> None:
    """Raise ``UnsupportedError`` if less memory than this, in units of 2**30 bytes, is free."""
    import psutil

    free = psutil.virtual_memory().available / 2**30
    if free < gigabytes:
        raise UnsupportedError(f"needs {gigabytes} GB of free memory; {free:.0f} GB are free")
