"""What a trace of operators means for each torch version; and that a trace is what was run."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest

from metalassay.errors import UserError
from metalassay.mps.operators import oracle
from metalassay.mps.preflight import predict, run
from metalassay.mps.preflight import text as preflight_text


def call(*path: str, count: int = 1, line: int = 1, node: str = "", wide: bool = False) -> Any:
    """Return one entry of a trace."""
    return {
        "path": list(path),
        "file": "/home/user/train.py",
        "line": line,
        "function": "step",
        "node": node,
        "wide": wide,
        "count": count,
    }


def judged(*calls: Any, versions: list[str] | None = None) -> predict.Preflight:
    """Judge a trace made with torch 2.13.0."""
    return predict.judge({"torch": "2.13.0", "ended": "", "calls": list(calls)}, versions)


def states(found: predict.Preflight, version: str) -> dict[str, str]:
    """Return the operators in trouble with a version, and how."""
    return {
        each.operator: each.states[version] for each in found.findings if version in each.states
    }


def test_an_operator_with_a_kernel_is_no_finding() -> None:
    assert judged(call("add.Tensor"), call("mm")).findings == ()


def test_an_operator_without_one_is_missing_until_the_version_that_has_it() -> None:
    (finding,) = judged(call("linalg_qr", count=3)).findings
    assert finding.operator == "linalg_qr.out"  # the one that errors name
    assert finding.states["2.11.0"] == "missing"
    assert "2.12.1" not in finding.states
    assert finding.fixed_in == "2.12.1"
    assert finding.counts["2.5.1"] == 3


def test_one_that_no_version_has_is_fixed_by_none() -> None:
    (finding,) = judged(call("mode")).findings
    assert set(finding.states) == set(oracle.versions())
    assert finding.fixed_in is None


def test_a_composite_is_judged_by_what_it_is_made_of() -> None:
    assert states(judged(call("put"), call("put", "put_")), "2.13.0") == {"put_": "missing"}
    assert states(judged(call("put"), call("put", "put_")), "2.15.0") == {}


def test_a_kernel_hides_what_it_was_made_of() -> None:
    # linear has a kernel on MPS; that it is an addmm here, or anything else, plays no part.
    assert judged(call("linear"), call("linear", "mode")).findings == ()


def test_what_is_forced_onto_the_cpu_is_said_apart() -> None:
    whole = "linalg_svd|linalg_svd.U"
    found = judged(call(whole), call(whole, "_linalg_svd"))
    assert states(found, "2.13.0") == {"linalg_svd": "fallback"}
    assert states(found, "2.14.1") == {}


def test_overloads_of_which_one_was_chosen_unseen_decide_only_together() -> None:
    # max.dim has a kernel, max.other is made of maximum.
    found = judged(call("max.other|max.names_dim"), call("max.other|max.names_dim", "mode"))
    assert states(found, "2.13.0") == {"mode": "missing"}


def test_overloads_of_which_only_some_have_a_kernel_decide_nothing() -> None:
    # linear has a kernel, linear.out has none: which one was called is not known.
    found = judged(call("linear|add.names"), call("linear|add.names", "mode"))
    assert states(found, "2.13.0") == {"mode": "missing"}


def test_a_choice_that_only_the_cpu_makes_is_replaced() -> None:
    flash = "_scaled_dot_product_flash_attention_for_cpu"
    assert judged(call(flash), call(flash + "_backward")).findings == ()
    assert judged(call("_convolution"), call("_convolution", "mkldnn_convolution")).findings == ()


def test_every_replacement_is_an_operator_of_the_newest_torch() -> None:
    newest = oracle.load(oracle.versions()[-1])
    for operator, asks in predict.branches().items():
        assert {operator, asks} <= newest.overloads


def test_what_another_operator_called_is_said_to_be_inside_it() -> None:
    found = judged(call("put"), call("put", "put_"), call("mode"), call("stack", "mode"))
    assert {each.operator: each.inside for each in found.findings} == {"put_": ("put",), "mode": ()}
    assert "inside put, as the torch that ran makes it" in preflight_text.as_text(found, "2.13.0")


def test_float64_counts_where_it_comes_out_of_the_program_s_own_call() -> None:
    found = judged(
        call("ones", wide=True, line=7, count=2), call("linalg_pinv", "full", wide=True, line=8)
    )
    assert [(place.line, place.count) for place in found.wide] == [(7, 2)]


def test_the_operators_of_others_and_the_profiler_s_are_not_judged() -> None:
    found = judged(call("torchvision::nms"), call("profiler::_record_function_enter_new"))
    assert found.custom == ("torchvision::nms",)
    assert (found.calls, found.findings) == (0, ())


def test_an_operator_that_an_older_torch_does_not_have_is_named_as_not_judged() -> None:
    found = judged(call("_fused_rms_norm"))
    assert "_fused_rms_norm" in found.unknown["2.0.1"]
    assert "2.13.0" not in found.unknown


def test_the_text_says_version_count_line_and_fix() -> None:
    found = judged(
        call("mode", count=3, line=7),
        call("linalg_qr", count=2, line=9, node="LinalgQrBackward0"),
        call("ones", wide=True, line=11),
    )
    text = preflight_text.as_text(found, "2.5.1")
    assert "On MPS with torch 2.5.1: 2 operators would fail, float64 at 1 line." in text
    assert "  mode  3 calls; no torch version fixes it" in text
    assert "  linalg_qr.out  2 calls; fixed by torch 2.12.1" in text
    assert "2 x /home/user/train.py:9 in step, backward (LinalgQrBackward0)" in text
    assert "    2.12.1 to 2.15.0      1      0\n" in text
    assert [line.split()[0] for line in text.splitlines() if line.endswith("  <")] == ["2.0.1"]
    assert "linalg_qr" in preflight_text.as_text(found, "2.13.0").partition("not with older")[2]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema": "other"}', b'{"schema": 3, "calls": 1}']
)
def test_what_is_no_trace_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(UserError, match=r"x\.json is no trace"):
        predict.parse(content, "x.json")


PROGRAM = """
import os, sys
import torch
from torch.utils.data import DataLoader, TensorDataset

assert sys.argv[1:] == ["--lr", "1"] and not os.environ["CUDA_VISIBLE_DEVICES"]
net = torch.nn.Linear(4, 4)
optimizer = torch.optim.AdamW(net.parameters())
for (rows,) in DataLoader(TensorDataset(torch.ones(4, 4)), batch_size=2, shuffle=True):
    hidden = net(rows)
    loss = torch.nn.functional.pdist(hidden).sum()  # line 11
    loss = loss + torch.linalg.pinv(hidden).sum()
    loss.backward()
    optimizer.step()
wide = torch.ones(2, dtype=torch.float64)
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the trace of the program above, really run."""
    script = tmp_path_factory.mktemp("program") / "train.py"
    script.write_text(PROGRAM)
    found, code = run.trace([sys.executable, "-u", str(script), "--lr", "1"])
    assert (code, found["ended"]) == (0, "")
    return found


def at(trace: Any, *path: str) -> Any:
    """Return the entries of one path."""
    return [call for call in trace["calls"] if tuple(call["path"][-len(path) :]) == path]


@pytest.mark.slow
def test_forward_backward_and_optimizer_are_in_the_trace(trace: Any) -> None:
    (forward,) = at(trace, "_pdist_forward")
    (backward,) = at(trace, "_pdist_backward")
    assert (forward["line"], forward["count"], forward["node"]) == (11, 2, "")
    assert (backward["line"], backward["node"]) == (11, "PdistBackward0")
    assert {call["line"] for call in at(trace, "addcdiv_")} == {14}


@pytest.mark.slow
def test_a_composite_is_opened_as_far_as_it_goes(trace: Any) -> None:
    # pinv calls svd inside C++, where a plain dispatch mode does not look.
    (inside,) = at(trace, "svd", "linalg_svd")
    assert inside["line"] == 12
    assert "linalg_pinv.atol_rtol_tensor" in inside["path"]


@pytest.mark.slow
def test_loading_data_is_left_out(trace: Any) -> None:
    # Shuffling and collating stay on the CPU on a Mac too.
    assert at(trace, "randperm") == []
    assert at(trace, "stack") == []


def test_recording_changes_nothing_but_the_last_digit() -> None:
    """The recorder runs composites by their parts, which may round otherwise than the fused whole."""
    torch = pytest.importorskip("torch")
    from metalassay.mps.preflight import tracing
    from metalassay.workloads import registry

    def losses(recorder: Any) -> list[float]:
        work = registry.make(
            registry.get("gpt-tiny"), "train", torch.device("cpu"), "float32", batch_size=2
        )
        with recorder:
            return [work.step().item() for _ in range(3)]

    plain = losses(contextlib.nullcontext())
    assert losses(tracing.Recorder()) == pytest.approx(plain, rel=1e-6)


@pytest.mark.slow
def test_the_verdict_on_the_program(trace: Any) -> None:
    found = predict.judge(trace)
    assert states(found, found.versions[-1])["_pdist_forward"] == "missing"
    assert [place.line for place in found.wide] == [15]
