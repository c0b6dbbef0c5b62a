"""The answer to what torch says about operators of its own and of other libraries."""

from __future__ import annotations

import pytest
from operator_texts import missing, only

from metalassay.diagnosis.operator_answer import find
from metalassay.diagnosis.operator_parts import FALLBACK
from metalassay.mps.emulator import messages
from metalassay.mps.operators import history, oracle, releases

OVERLOADS = sorted(
    frozenset().union(*(oracle.load(version).overloads for version in oracle.versions()))
)


def test_a_missing_operator_names_the_release_the_macos_and_the_fallback() -> None:
    found = only(missing("aten::_ctc_loss"), {"torch": "2.5.1"})
    assert found.id == "aten::_ctc_loss"
    assert found.title == "aten::_ctc_loss has an MPS kernel from torch 2.14 on"
    assert (found.applies, found.note) == ("yes", "torch 2.5.1 lacks it")
    assert found.do[0] == "pip install -U 'torch>=2.14' (needs macOS 14.0 and Python 3.10)"
    assert found.do[1].startswith("compute only the loss on the CPU: F.ctc_loss(")
    assert found.do[-1] == FALLBACK
    assert "before that" in FALLBACK
    assert any("after torch was imported has no effect" in each for each in found.not_help)
    assert "missing in 2.0 to 2.13, kernel in 2.14" in found.cause
    assert not found.generic


def test_an_operator_that_the_installed_torch_has_comes_from_elsewhere() -> None:
    found = only(missing("aten::isin.Tensor_Tensor_out", "2.3.1"), {"torch": "2.3.1"})
    assert found.applies == "yes"
    short = "The operator 'aten::isin.Tensor_Tensor_out' is not currently implemented for the MPS device."
    found = only(short, {"torch": "2.13.0"})
    assert found.applies == "no"
    assert found.note.startswith("torch 2.13.0 has it; the text comes from another environment")
    assert found.do[0].startswith(
        "see whether the program runs the torch 2.13.0 of this environment"
    )
    assert found.do[1].startswith("where the text comes from: pip install -U 'torch>=2.4'")


def test_without_a_version_of_torch_it_is_unknown_whether_it_applies() -> None:
    found = only(missing("aten::linalg_qr.out"), {})
    assert found.applies == "unknown"
    assert "torch 2.12 and later have it" in found.note
    assert "its wording is that of torch >=1.12,<2.6" in found.note
    assert only(missing("aten::linalg_qr.out"), {"torch": "not a version"}).applies == "unknown"


def test_conv3d_works_though_its_operator_never_gets_a_kernel() -> None:
    found = only(missing("aten::slow_conv3d_forward", "2.1.2"), {"torch": "2.1.1"})
    assert found.title == "torch.nn.Conv3d runs on MPS from torch 2.3 and macOS 13.2 on"
    assert found.do[0] == "pip install -U 'torch>=2.3' (needs macOS 13.2 and Python 3.8)"
    assert "never gets an MPS kernel" in found.cause
    assert only(missing("aten::slow_conv3d_forward"), {"torch": "2.5.1"}).applies == "no"


def test_a_convolution_on_two_devices_is_a_mistake_and_no_missing_kernel() -> None:
    text = (
        "The operator 'aten::_slow_conv2d_forward' is not current implemented for the MPS device."
    )
    found = only(text, {"torch": "1.12.1"})
    assert "on different devices" in found.title
    assert found.do == ('move both: model.to("mps") once, and x = x.to("mps") for every batch',)
    assert found.applies == "yes"
    assert FALLBACK not in found.do


def test_an_operator_without_a_cpu_kernel_cannot_fall_back() -> None:
    name = sorted(oracle.load("2.9").missing - oracle.load("2.9").cpu_only)[0]
    found = only(missing(f"aten::{name}", "2.9.1"), {"torch": "2.9.1"})
    assert FALLBACK not in found.do
    assert any("the CPU has no kernel" in each for each in found.not_help)
    name = "_scaled_dot_product_flash_attention"
    [do] = only(missing(f"aten::{name}", "2.9.1"), {"torch": "2.9.1"}).do
    assert do.startswith(f"call torch's public function, not torch.ops.aten.{name}: ")


def test_an_operator_without_advice_can_be_called_on_the_cpu() -> None:
    found = only(missing("aten::unfold_backward"), {"torch": "2.5.1"})
    assert found.do[1].startswith("only this call on the CPU")
    assert found.do[2] == FALLBACK


def test_a_fallback_is_a_warning_and_comes_after_errors() -> None:
    said = messages.messages("2.5.1", "")
    warning = f"UserWarning: {said.falls_back.format('aten::linalg_svd')}"
    found = only(warning, {"torch": "2.5.1"})
    assert found.title.startswith("a warning, not an error: it ran on the CPU; ")
    assert found.note == "torch 2.5.1 always runs it on the CPU, with a warning"
    assert "pip install -U 'torch>=2.14'" in found.do[0]
    assert FALLBACK not in found.do
    error, later = find(f"{missing('aten::mode')}\n{warning}", {"torch": "2.5.1"})
    assert (error.id, later.id) == ("aten::mode", "aten::linalg_svd")
    assert error.position < later.position


def test_the_last_error_comes_first() -> None:
    text = f"{missing('aten::mode')}\n{missing('aten::_ctc_loss')}\n"
    assert [each.id for each in find(text, {})] == ["aten::_ctc_loss", "aten::mode"]


@pytest.mark.parametrize(
    ("operator", "installed", "applies", "do"),
    [
        ("torchvision::nms", {"torchvision": "0.15.2"}, "yes", "pip install -U torch torchvision"),
        ("torchvision::nms", {"torchvision": "0.17.1"}, "unknown", "arm64 Python"),
        ("torchvision::nms", {}, "unknown", "arm64 Python"),
        ("torchvision::deform_conv2d", {"torchvision": "0.22.1"}, "yes", "torchvision>=0.23"),
        ("torchvision::_box_x", {}, "yes", ".cpu()"),
        ("torchaudio::forced_align", {}, "yes", ".cpu()"),
        ("bitsandbytes::optimizer_update_8bit_blockwise", {}, "yes", 'optim="adamw_torch"'),
        ("bitsandbytes::quantize_4bit", {"bitsandbytes": "0.45.5"}, "yes", "bitsandbytes>=0.50"),
        ("c10d::allgather_", {}, "yes", "--num_processes 1"),
        ("_c10d_functional::all_gather_into_tensor", {}, "yes", "run one process"),
        ("quantized::linear", {}, "yes", "on the CPU"),
        ("flash_attn_2::_flash_attn_forward", {}, "yes", "sdpa"),
        ("xformers_flash::flash_fwd", {}, "yes", "pip uninstall xformers"),
        ("torch_scatter::scatter_min", {}, "yes", "scatter_reduce"),
        ("mylib::op", {}, "unknown", ".cpu()"),
    ],
)
def test_an_operator_of_another_library_is_named_as_its(
    operator: str, installed: dict[str, str], applies: str, do: str
) -> None:
    found = only(missing(operator), {"torch": "2.5.1", **installed})
    assert found.id == operator
    assert "another library" in found.title or "aten" not in found.title
    assert found.applies == applies
    assert do in found.do[0]
    assert found.generic == (operator == "mylib::op")


def test_the_fallback_of_distributed_operators_is_warned_of() -> None:
    said = messages.messages("2.11.0", releases.commits()["2.11.0"])
    text = said.not_implemented_distributed.format("c10d::allreduce_")
    found = only(text, {})
    assert "is that of torch 2.11.0" in found.note
    assert "values that were never exchanged" in found.not_help[0]
    assert FALLBACK not in found.do


def test_an_operator_of_no_torch_and_a_release_that_is_not_known() -> None:
    found = only(missing("aten::zzz"), {"torch": "2.5.1"})
    assert found.applies == "no"
    assert "is not an operator of any torch from 2.0 to" in found.title
    text = "The operator 'aten::mode' is not currently implemented for the MPS device"
    newer = only(text, {"torch": "9.1.0"})
    assert newer.applies == "unknown"
    assert "the operators of torch 9.1.0 are not known" in newer.note
    assert only("'aten::_ctc_loss' is not implemented for MPS", {"torch": "9.1.0"}).applies == "no"
    older = only(text, {"torch": "1.13.1"})
    assert older.applies == "yes"
    assert "older than the record" in older.note


def test_an_operator_without_its_overload_is_understood() -> None:
    text = "The operator 'aten::isin' is not currently implemented for the MPS device"
    assert only(text, {"torch": "2.2.0"}).id.startswith("aten::isin.")


@pytest.mark.parametrize("part", range(8))
def test_every_operator_of_the_record_has_an_answer(part: int) -> None:
    """The first release is that of the record; whether the text applies follows from the state."""
    versions = oracle.versions()
    wrong = []
    for number, name in list(enumerate(OVERLOADS))[part::8]:
        torch = versions[number // 8 % len(versions)]
        text = f"The operator 'aten::{name}' is not currently implemented for the MPS device."
        [found] = find(text, {"torch": torch})
        states = [oracle.load(version).state(name) for version in versions]
        lacking = [at for at, state in enumerate(states) if state in ("missing", "fallback")]
        since = next(
            (
                version
                for version, state in list(zip(versions, states, strict=True))[
                    lacking[-1] + 1 if lacking else 0 :
                ]
                if state in ("kernel", "composite")
            ),
            None,
        )
        applies = "yes" if oracle.load(torch).state(name) in ("missing", "fallback") else "no"
        hand_kept = name.startswith(("slow_conv", "_slow_conv"))
        named = (
            history.minor(since)
            if since
            else f"no MPS kernel in any torch up to {history.minor(versions[-1])}"
        )
        if not hand_kept and (f"torch {named} on" if since else named) not in found.title:
            wrong.append(f"{name}: {found.title}, not {named}")
        if not hand_kept and found.applies != applies:
            wrong.append(f"{name}: {found.applies} with torch {torch}, not {applies}")
        assert found.cause
        assert found.note
        assert found.do
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "RuntimeError: MPS backend out of memory (MPS allocated: 9 GiB)",
        "RuntimeError: Placeholder storage has not been allocated on MPS device!",
        "TypeError: Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it",
        "NotImplementedError: Output channels > 65536 not supported at the MPS device.",
        "NotImplementedError: Subclasses should implement this!",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "RuntimeError: The MPS backend is supported on MacOS 12.3+.",
        "KeyError: 'aten::mode'",
    ],
)
def test_other_errors_are_left_to_other_sources(text: str) -> None:
    assert find(text, {"torch": "2.5.1"}) == ()
