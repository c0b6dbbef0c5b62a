"""As mps_hazards.py, for attention, convolutions, normalisations and optimizers."""

from __future__ import annotations

import torch
from mps_hazards import agree, under_test, unless_refused
from torch import Tensor, nn
from torch.nn import functional

# Attention: q, k, v are (batch, heads, length, head size).


def attention_takes_a_transposed_query(device: str) -> None:
    def compute(device: str) -> Tensor:
        results = []
        for size in (64, 96, 128):
            for length in (1, 4, 8):
                q = torch.randn(2, length, 4, size).to(device).transpose(1, 2)
                k, v = (torch.randn(2, 4, 40, size).to(device) for _ in range(2))
                results.append(functional.scaled_dot_product_attention(q, k, v).flatten())
        return torch.cat(results)

    agree(compute, device, "attention misread a transposed query")


def attention_takes_permuted_inputs(device: str) -> None:
    def compute(device: str) -> Tensor:
        q, k, v = (torch.randn(84, 3, 3, 64).to(device).permute(0, 2, 1, 3) for _ in range(3))
        return functional.scaled_dot_product_attention(q, k, v)

    agree(compute, device, "attention misread permuted inputs")


def attention_ends_with_the_last_key(device: str) -> None:
    """Keys and values are the front of a longer buffer, whose rest must not be read."""

    def compute(device: str) -> Tensor:
        results = []
        for length in (31, 32, 33, 70):
            q = torch.randn(1, 1, 1, 64).to(device)
            k, v = (torch.full((1, 1, 128, 64), 100.0).to(device) for _ in range(2))
            k[:, :, :length] = torch.randn(length, 64).to(device)
            v[:, :, :length] = torch.randn(length, 64).to(device)
            k, v = k[:, :, :length], v[:, :, :length]
            results.append(functional.scaled_dot_product_attention(q, k, v).flatten())
        return torch.cat(results)

    agree(compute, device, "attention read beyond the last key")


def attention_shares_keys_among_queries(device: str) -> None:
    def compute(device: str) -> Tensor:
        q = torch.randn(1, 32, 1, 128).to(device, torch.bfloat16)
        k, v = (torch.randn(1, 2, 1024, 128).to(device, torch.bfloat16) for _ in range(2))
        with unless_refused(TypeError, "enable_gqa"):  # torch below 2.5
            result = functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return result.float()

    agree(compute, device, "attention with shared keys is wrong", tolerance=3e-2)


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
    def compute(device: str) -> Tensor:
        layer, x = nn.LayerNorm(512).to(device).eval(), torch.randn(4, 512).to(device)
        with torch.inference_mode():
            # What the CPU does without compiling is what is right.
            result: Tensor = (layer if device == "cpu" else torch.compile(layer))(x)
        return result

    agree(compute, device, "a compiled LayerNorm is wrong", tolerance=1e-3)


# Optimizers.


def fused_adam_heeds_found_inf(device: str) -> None:
    def compute(device: str) -> Tensor:
        parameter = nn.Parameter(torch.ones(4, device=device))
        parameter.grad = torch.ones_like(parameter)
        with unless_refused(RuntimeError, "fused"):
            optimizer = torch.optim.Adam([parameter], fused=True)
        # What a GradScaler leaves here where a gradient overflowed.
        optimizer.found_inf = torch.ones((), device=device)  # type: ignore[attr-defined]
        optimizer.grad_scale = torch.ones((), device=device)  # type: ignore[attr-defined]
        with unless_refused(RuntimeError, "not supported on MPS"):  # torch 2.5 to 2.7
            optimizer.step()
        return parameter

    agree(compute, device, "fused Adam stepped although a gradient overflowed")
