"""What the recorder sees of a program that really runs."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay.mps.preflight import predict, run

PROGRAM = """
import torch
from torch.utils.data import DataLoader, TensorDataset

net = torch.nn.Linear(4, 4)
optimizer = torch.optim.AdamW(net.parameters())
for (rows,) in DataLoader(TensorDataset(torch.ones(4, 4)), batch_size=2, shuffle=True):
    hidden = net(rows)
    loss = torch.nn.functional.pdist(hidden).sum()  # line 9
    loss = loss + torch.linalg.pinv(hidden).sum()
    loss.backward()
    optimizer.step()
wide = torch.ones(2, dtype=torch.float64)
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the trace of the program above."""
    script = tmp_path_factory.mktemp("program") / "train.py"
    script.write_text(PROGRAM)
    trace, code = run.trace([sys.executable, str(script)])
    assert (code, trace["ended"]) == (0, "")
    return trace


def entries(trace: Any, *path: str) -> Any:
    """Return the entries whose path ends with ``path``."""
    return [call for call in trace["calls"] if tuple(call["path"][-len(path) :]) == path]


@pytest.mark.slow
def test_forward_backward_and_optimizer_are_in_the_trace(trace: Any) -> None:
    (forward,) = entries(trace, "_pdist_forward")
    (backward,) = entries(trace, "_pdist_backward")
    assert (forward["line"], forward["count"], forward["node"]) == (9, 2, "")
    assert (backward["line"], backward["node"]) == (9, "PdistBackward0")
    assert {call["line"] for call in entries(trace, "addcdiv_")} == {12}


@pytest.mark.slow
def test_a_composite_is_decomposed_completely(trace: Any) -> None:
    # pinv calls svd in C++, where a plain dispatch mode does not see it.
    (inside,) = entries(trace, "svd", "linalg_svd")
    assert inside["line"] == 10
    assert "linalg_pinv.atol_rtol_tensor" in inside["path"]


@pytest.mark.slow
def test_data_loading_is_left_out(trace: Any) -> None:
    # Shuffling and collating stay on the CPU on a Mac too.
    assert entries(trace, "randperm") == []
    assert entries(trace, "stack") == []


@pytest.mark.slow
def test_the_trace_predicts_what_the_program_would_meet(trace: Any) -> None:
    preflight = predict.judge(trace)
    newest = preflight.versions[-1]
    assert "_pdist_forward" in {finding.operator for finding in preflight.bad(newest, "missing")}
    assert [place.line for place in preflight.wide] == [13]


def test_a_library_that_computes_while_it_is_imported_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from metalassay.mps.preflight import tracing

    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "constants_of_ours.py").write_text(
        "import torch\nWIDE = torch.ones(2, dtype=torch.float64)\n"
        "def compute(): return torch.zeros(2)\n"
    )
    monkeypatch.syspath_prepend(folder)
    recorder = tracing.Recorder()
    with recorder:
        module = importlib.import_module("constants_of_ours")
        module.compute()
    assert torch.equal(module.WIDE, torch.ones(2, dtype=torch.float64))
    (zeros,) = [call for call in recorder.trace() if call["path"] == ["zeros"]]
    assert zeros["file"] == __file__
    assert [call for call in recorder.trace() if call["path"] == ["ones"]] == []


def test_recording_changes_only_the_last_digits_of_results() -> None:
    """The recorder runs composites part by part, which may round differently than a fused kernel."""
    torch = pytest.importorskip("torch")
    from metalassay.mps.preflight import tracing
    from metalassay.workloads import registry

    def losses(recorder: Any) -> list[float]:
        workload = registry.make(
            registry.get("gpt-tiny"), "train", torch.device("cpu"), "float32", batch_size=2
        )
        with recorder:
            return [workload.step().item() for _ in range(3)]

    unrecorded = losses(contextlib.nullcontext())
    assert losses(tracing.Recorder()) == pytest.approx(unrecorded, rel=1e-6)


ON_THE_CPU = """
import torch

{first}
x = torch.randn(3, 3).to({device})
y = torch.nn.Parameter(x)
host = y.cpu()
torch.linalg.eig(host)
host.T.double().sum()
named = (y * 1).to("cpu")
named.to(torch.float64) + 1  # line 11
torch.zeros(3, dtype=torch.float64, device="cpu") * 2  # line 12
both = torch.add(host, x)
torch.linalg.eig(both)  # line 14
again = host.to({device})
again.double()  # line 16
y.double()  # line 17
(host * 2).sum().backward()
assert torch.equal(y.grad, torch.full((3, 3), 2.0))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "device", "wide"),
    [
        ("", '"mps"', [16, 17]),
        # This program asks, and is told that there is none: a "cpu" may be the device that it wanted.
        (
            'where = "mps" if torch.backends.mps.is_available() else "cpu"',
            "where",
            [11, 12, 16, 17],
        ),
    ],
)
def test_what_a_program_does_on_the_cpu_on_purpose_is_left_out(
    first: str, device: str, wide: list[int], tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text(ON_THE_CPU.format(first=first, device=device))
    trace, code = run.trace([sys.executable, str(script)])
    assert (code, trace["ended"]) == (0, "")
    assert [call["line"] for call in entries(trace, "linalg_eig")] == [14]
    preflight = predict.judge(trace, ["2.13.0"])
    assert sorted(place.line for place in preflight.wide) == wide
