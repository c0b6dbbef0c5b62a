"""The answer to what torch says about backends, dtypes and an old macOS."""

from __future__ import annotations

import pytest
from operator_texts import COULD_NOT, only

from metalassay.diagnosis.operator_answer import find


def test_sparse_tensors_have_kernels_of_their_own() -> None:
    text = COULD_NOT.format("aten::addmm", "SparseMPS", "aten::addmm", "CPU, MPS, SparseCPU")
    found = only(text, {"torch": "2.9.1"})
    assert found.title == "sparse tensors on MPS: aten::addmm works from torch 2.10 on"
    assert (found.applies, found.note) == ("yes", "torch 2.9.1 lacks this sparse kernel")
    assert "torch>=2.10" in found.do[0]
    assert "to_dense()" in found.do[1]
    assert "not the backend SparseMPS" in found.not_help[0]
    assert only(text, {"torch": "2.10.0"}).applies == "no"
    never = only(text.replace("addmm", "linalg_eig"), {"torch": "2.15.0"})
    assert never.applies == "yes"
    assert "in no torch up to 2.15" in never.title


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("SparseCsrMPS", "compressed sparse tensors"),
        ("QuantizedMPS", "no quantized tensors on MPS"),
        ("NestedTensorMPS", "no nested tensors on MPS"),
    ],
)
def test_other_kinds_of_tensors_are_named(backend: str, words: str) -> None:
    text = COULD_NOT.format("aten::mul.Tensor", backend, "aten::mul.Tensor", "CPU, MPS")
    found = only(text, {"torch": "2.8.0"})
    assert words in found.title
    assert found.applies == "yes"
    assert backend in found.not_help[0]


def test_a_torch_without_mps_is_recognised() -> None:
    """The message of a real build without MPS."""
    torch = pytest.importorskip("torch")
    if torch.backends.mps.is_built():
        pytest.skip("this torch has MPS")
    with pytest.raises(NotImplementedError) as error:
        torch.empty(1, device="mps")
    found = only(f"NotImplementedError: {error.value}", {"torch": torch.__version__})
    assert found.id == "torch-without-mps"
    assert found.do[0] == 'device = "mps" if torch.backends.mps.is_available() else "cpu"'


def test_an_operator_that_could_not_run_on_mps_is_answered_like_a_missing_one() -> None:
    text = COULD_NOT.format("aten::mode", "MPS", "aten::mode", "CPU, CUDA, Meta")
    assert only(text, {"torch": "2.9.1"}).id == "aten::mode"


def test_only_the_list_of_backends_tells_a_torch_without_mps() -> None:
    text = COULD_NOT.format("aten::add.out", "MPS", "aten::add.out", "CPU, Meta")
    assert only(text, {"torch": "2.5.1"}).id == "torch-without-mps"
    text = COULD_NOT.format("aten::empty.memory_format", "MPS", "aten::empty", "CPU, MPS")
    assert only(text, {"torch": "2.5.1"}).id == "aten::empty.memory_format"


def test_backends_of_other_machines_are_left_alone() -> None:
    for operator, backend in (
        ("aten::mode", "CUDA"),
        ("quantized::linear", "CPU"),
        ("torchvision::nms", "CUDA"),
        ("aten::_spsolve", "SparseCsrCPU"),
    ):
        assert find(COULD_NOT.format(operator, backend, operator, "CPU"), {}) == ()
    text = COULD_NOT.format("flash_attn::fwd", "CPU", "flash_attn::fwd", "CUDA")
    assert "flash-attn" in only(text, {}).title


@pytest.mark.parametrize(
    ("text", "torch", "applies", "words"),
    [
        (
            "\"addmm_impl_cpu_\" not implemented for 'Half'",
            "2.0.1",
            "yes",
            "float16 before torch 2.2",
        ),
        (
            "\"addmm_impl_cpu_\" not implemented for 'Half'",
            "2.2.0",
            "no",
            "float16 before torch 2.2",
        ),
        ("\"addmm_impl_cpu_\" not implemented for 'Half'", "", "unknown", "on the CPU"),
        (
            "\"LayerNormKernelImpl\" not implemented for 'Half'",
            "2.2.2",
            "yes",
            "LayerNorm on the CPU",
        ),
        ("\"log_vml_cpu\" not implemented for 'Half'", "2.0.1", "yes", "float16 before torch 2.1"),
        ("\"linalg_svd_cpu\" not implemented for 'BFloat16'", "2.15.0", "yes", "bfloat16"),
        (
            "\"histogram_mps\" not implemented for 'Int'",
            "2.10.0",
            "yes",
            "on MPS does not take int32",
        ),
        ("\"histogram_mps\" not implemented for 'Int'", "2.13.0", "no", "before torch 2.13"),
        ("\"mse_cpu\" not implemented for 'Long'", "2.13.0", "yes", "int64"),
        ("\"some_kernel_mps\" not implemented for 'Long'", "2.13.0", "unknown", "on MPS"),
        (
            "\"triu_tril_cuda_template\" not implemented for 'BFloat16'",
            "2.0.0",
            "unknown",
            "NVIDIA",
        ),
    ],
)
def test_a_refused_dtype_names_the_device_the_dtype_and_the_release(
    text: str, torch: str, applies: str, words: str
) -> None:
    found = only(f"RuntimeError: {text}", {"torch": torch} if torch else {})
    assert found.applies == applies
    assert words in found.title
    assert found.generic == (found.sure == "judged by the kernel's name")


def test_half_on_the_cpu_is_answered_with_the_device() -> None:
    found = only("RuntimeError: \"addmm_impl_cpu_\" not implemented for 'Half'", {"torch": "2.0.1"})
    assert 'model.to("mps")' in found.do[0]
    assert "model.float()" in found.do[1]
    assert found.do[2] == "pip install -U 'torch>=2.2'"
    whole = only("RuntimeError: \"mse_cpu\" not implemented for 'Long'", {"torch": "2.13.0"})
    assert "x.float()" in whole.do[0]


def test_an_old_macos_is_a_warning() -> None:
    text = "UserWarning: MPS: nonzero op is supported natively starting from macOS 13.0. Falling back on CPU."
    found = only(text, {"torch": "2.1.0", "macos": "12.6"})
    assert (found.applies, found.note) == ("yes", "macOS 12.6: too old for it")
    assert "a warning, not an error" in found.title
    assert only(text, {"macos": "14.1"}).applies == "no"
    assert only(text, {}).applies == "unknown"


def test_a_known_name_tells_the_device_of_a_dtype_that_no_row_has() -> None:
    text = "RuntimeError: \"upsample_nearest2d_channels_last\" not implemented for 'BFloat16'"
    found = only(text, {"torch": "2.0.1"})
    assert found.cause.startswith('"upsample_nearest2d_channels_last" is a kernel of the CPU')
    assert (found.applies, found.generic) == ("unknown", True)
    nameless = only("RuntimeError: \"add_stub\" not implemented for 'Float8_e4m3fn'", {})
    assert "its name does not tell the device" in nameless.cause
    assert nameless.do == ("compute this step in float32: f(x.float()).to(x.dtype)",)
