"""`metalassay ops`: the answers that it prints, and bad input."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from metalassay.cli import main
from metalassay.mps.operators import history


def test_an_operator_is_shown_for_all_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ops", "aten::linalg_qr"]) == 0
    out = capsys.readouterr().out
    assert "aten::linalg_qr: first kernel in torch 2.12 (missing in 2.0 to 2.11, kernel in" in out
    symbols = next(line for line in out.splitlines() if line.startswith("linalg_qr "))
    assert symbols.split()[1:] == ["x"] * 12 + ["K"] * 4
    assert "linalg_qr.out" in out


def test_a_call_that_works_though_its_operator_has_no_kernel_is_noted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["ops", "slow_conv3d_forward"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "torch.nn.Conv3d runs on MPS from torch 2.3 and macOS 13.2 on. This name never" in out
    assert main.main(["ops", "slow_conv3d_forward", "--json"]) == 0
    [note] = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("torch.nn.Conv3d runs on MPS")
    assert main.main(["ops", "linalg_qr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == []


def test_an_operator_of_another_library_is_answered_as_its(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main.main(["ops", "torchvision::nms"]) == 0
    out = capsys.readouterr().out
    assert "This operator is torchvision's, not torch's;" in out
    assert "first kernel for MPS: torchvision 0.16.0" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main.main(["ops", "c10d::allreduce_", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["library"]["fallback"] == "wrong"


def test_two_versions_are_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["ops", "--diff", "2.13", "2.14", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["before"], answer["after"]) == ("2.13.0", "2.14.1")
    changes = {
        change["overload"]: (change["before"], change["after"]) for change in answer["changes"]
    }
    assert changes["_linalg_eigh"] == ("missing", "kernel")
    assert changes["linalg_svd"] == ("fallback", "composite")
    assert changes["cholesky"] == ("kernel", "absent")
    assert "add.Tensor" not in changes
    assert main.main(["ops", "--diff", "2.13", "2.14"]) == 0
    assert "fallback -> composite (2)\n  linalg_svd linalg_svd.U" in capsys.readouterr().out


def test_the_operators_in_one_state_are_listed_one_per_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["ops", "--list", "fallback", "--torch", "2.13"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["embedding_renorm_", "linalg_svd", "linalg_svd.U"]
    assert main.main(["ops", "--list", "missing", "--torch", "2.13", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["torch"], answer["list"]) == ("2.13.0", "missing")
    assert "mode" in answer["overloads"]


@pytest.mark.parametrize("kind", history.LISTS)
def test_every_list_can_be_printed(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ops", "--list", kind, "--torch", "2.13"]) == 0
    assert capsys.readouterr().out.splitlines() == list(history.listed(kind, "2.13")) != []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linalg_qrr"], "similar: linalg_qr"),
        (["mylib::op"], "mylib::op is an operator of another library"),
        (["--diff", "2.5", "9.9"], "torch 9.9 are not known"),
        (["mode", "--torch", "2.13"], "--torch goes with --list"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["ops", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_imports_no_torch() -> None:
    code = (
        "import sys; from metalassay.cli import main; main.main(['ops', 'mode']); assert 'torch' not in"
        " sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
