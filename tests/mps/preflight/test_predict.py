"""What a trace of operators means for each torch version."""

from __future__ import annotations

import pytest
from traces import call, judged

from metalassay.errors import UserError
from metalassay.mps.operators import oracle
from metalassay.mps.preflight import predict


def states(preflight: predict.Preflight, version: str) -> dict[str, str]:
    """Return the state of each operator that has a problem in a version."""
    return {
        finding.operator: finding.states[version]
        for finding in preflight.findings
        if version in finding.states
    }


def test_an_operator_with_a_kernel_is_not_a_finding() -> None:
    assert judged(call("add.Tensor"), call("mm")).findings == ()


def test_an_operator_is_missing_until_the_version_that_adds_a_kernel() -> None:
    (finding,) = judged(call("linalg_qr", count=3)).findings
    assert finding.operator == "linalg_qr.out"  # the overload that errors name
    assert finding.states["2.11.0"] == "missing"
    assert "2.12.1" not in finding.states
    assert finding.fixed_in == "2.12.1"
    assert finding.counts["2.5.1"] == 3


def test_an_operator_without_a_kernel_anywhere_is_fixed_by_no_version() -> None:
    (finding,) = judged(call("mode")).findings
    assert set(finding.states) == set(oracle.versions())
    assert finding.fixed_in is None


def test_a_composite_is_judged_by_its_parts() -> None:
    assert states(judged(call("put"), call("put", "put_")), "2.13.0") == {"put_": "missing"}
    assert states(judged(call("put"), call("put", "put_")), "2.15.0") == {}


def test_an_operator_with_a_kernel_hides_its_parts() -> None:
    # linear has a kernel on MPS, so it is irrelevant what it is made of on the CPU.
    assert judged(call("linear"), call("linear", "mode")).findings == ()


def test_an_operator_that_always_runs_on_the_cpu_has_a_state_of_its_own() -> None:
    whole = "linalg_svd|linalg_svd.U"
    preflight = judged(call(whole), call(whole, "_linalg_svd"))
    assert states(preflight, "2.13.0") == {"linalg_svd": "fallback"}
    assert states(preflight, "2.14.1") == {}


def test_a_choice_among_overloads_is_a_composite_if_one_of_them_is() -> None:
    # max.dim has a kernel, max.other is made of maximum.
    preflight = judged(call("max.other|max.names_dim"), call("max.other|max.names_dim", "mode"))
    assert states(preflight, "2.13.0") == {"mode": "missing"}


def test_a_choice_among_overloads_decides_nothing_if_only_some_have_a_kernel() -> None:
    # linear has a kernel, add.names has none, and which one was called is not known.
    preflight = judged(call("linear|add.names"), call("linear|add.names", "mode"))
    assert states(preflight, "2.13.0") == {"mode": "missing"}


def test_an_operator_chosen_only_on_the_cpu_is_replaced() -> None:
    flash = "_scaled_dot_product_flash_attention_for_cpu"
    assert judged(call(flash), call(flash + "_backward")).findings == ()
    assert judged(call("_convolution"), call("_convolution", "mkldnn_convolution")).findings == ()


def test_every_replacement_is_an_operator_of_the_newest_torch() -> None:
    newest = oracle.load(oracle.versions()[-1])
    for operator, asks in predict.branches().items():
        assert {operator, asks} <= newest.overloads


def test_a_finding_names_the_operators_that_called_it() -> None:
    preflight = judged(call("put"), call("put", "put_"), call("mode"), call("stack", "mode"))
    assert {finding.operator: finding.inside for finding in preflight.findings} == {
        "put_": ("put",),
        "mode": (),
    }


def test_float64_counts_only_as_the_result_of_a_call_by_the_program() -> None:
    preflight = judged(
        call("ones", wide=True, line=7, count=2), call("linalg_pinv", "full", wide=True, line=8)
    )
    assert [(place.line, place.count) for place in preflight.wide] == [(7, 2)]


def test_custom_operators_and_those_of_the_profiler_are_not_judged() -> None:
    preflight = judged(call("torchvision::nms"), call("profiler::_record_function_enter_new"))
    assert preflight.custom == ("torchvision::nms",)
    assert (preflight.calls, preflight.findings) == (0, ())


def test_an_operator_that_an_older_torch_lacks_is_listed_as_unknown() -> None:
    preflight = judged(call("_fused_rms_norm"))
    assert "_fused_rms_norm" in preflight.unknown["2.0.1"]
    assert "2.13.0" not in preflight.unknown


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema": "other"}', b'{"schema": 3, "calls": 1}']
)
def test_a_file_that_is_not_a_trace_is_an_error(content: bytes) -> None:
    with pytest.raises(UserError, match=r"x\.json is not a trace"):
        predict.parse(content, "x.json")


def test_a_call_that_only_the_traced_torch_makes_is_not_held_against_a_release() -> None:
    # Attention asks for isneginf since 2.6; before, for other operators or for none.
    whole = "scaled_dot_product_attention"
    preflight = judged(call(whole), call(whole, "_safe_softmax", "isneginf"))
    assert states(preflight, "2.5.1") == {}
    assert states(preflight, "2.3.1") == {}
    # The program itself may call it, and then it fails there.
    assert states(judged(call("isneginf")), "2.5.1") == {"isneginf.out": "missing"}


def test_what_cannot_be_told_is_not_judged() -> None:
    # 2.3 has no _safe_softmax, so nothing tells what would run in its place.
    preflight = judged(call("_safe_softmax"), call("_safe_softmax", "isneginf"))
    assert states(preflight, "2.3.1") == {}
    assert "isneginf.out" in preflight.unknown["2.3.1"]
    assert states(preflight, "2.5.1") == {}
    assert "2.5.1" not in preflight.unknown
