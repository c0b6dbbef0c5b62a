"""What the oracle says, and that its data are whole: the counts were read from the wheels' own
libraries by another program, before ours was written."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from metalassay.cli import main
from metalassay.errors import UserError
from metalassay.mps.operators import history, oracle

MPS = Path(oracle.__file__).parents[1]
TOOLS = Path(__file__).parents[3] / "tools"

# Version: kernels that torchgen generates, SparseMPS kernels, registered fallbacks.
COUNTS = {
    "2.0.1": (535, 0, 10),
    "2.1.2": (610, 0, 9),
    "2.2.2": (644, 0, 8),
    "2.3.1": (658, 0, 8),
    "2.4.1": (665, 0, 8),
    "2.5.1": (686, 0, 6),
    "2.6.0": (707, 0, 5),
    "2.7.1": (739, 0, 5),
    "2.8.0": (813, 0, 3),
    "2.9.1": (847, 107, 3),
    "2.10.0": (855, 158, 3),
    "2.11.0": (867, 160, 3),
    "2.12.1": (878, 160, 3),
    "2.13.0": (890, 160, 3),
    "2.14.1": (912, 161, 1),
    "2.15.0": (928, 161, 1),
}
EVERY_VERSION = pytest.mark.parametrize("version", COUNTS)


@EVERY_VERSION
def test_a_version_has_as_many_kernels_as_its_library_registers(version: str) -> None:
    operators = oracle.load(version)
    fallbacks = [name for name in operators.fallbacks if operators.asks(name) == name]
    kernels = operators.kernels - operators.by_hand
    assert (len(kernels), len(operators.sparse_kernels), len(fallbacks)) == COUNTS[version]


@EVERY_VERSION
def test_every_overload_is_in_exactly_one_group(version: str) -> None:
    operators = oracle.load(version)
    groups = [operators.kernels, operators.composites, operators.fallbacks, operators.missing]
    assert sum(map(len, groups)) == len(operators.overloads)
    assert operators.cpu_only <= operators.missing
    assert operators.sparse_kernels <= operators.overloads


@EVERY_VERSION
def test_what_a_variant_asks_for_decides_its_own_state(version: str) -> None:
    operators = oracle.load(version)
    follows = {"kernel": "composite", "fallback": "fallback", "missing": "missing"}
    asked = {name: operators.asks(name) for name in operators.overloads}
    variants = {name: out for name, out in asked.items() if name != out}
    assert variants
    for name, out in variants.items():
        assert operators.state(name) == follows[operators.state(out)], name


@EVERY_VERSION
def test_a_file_is_sorted_and_says_what_it_was_read_from(version: str) -> None:
    text = (MPS / "operators" / f"{version}.json").read_text("utf-8")
    record = json.loads(text)
    assert text == json.dumps(record, indent=1) + "\n"
    for group in (value for value in record.values() if isinstance(value, dict)):
        assert list(group) == sorted(group)
    assert record["torch"] == version
    assert record["wheel"].startswith(f"torch-{version}-")
    assert record["wheel"].endswith("_arm64.whl")
    assert (len(record["sha256"]), len(record["git"])) == (64, 40)


def test_there_is_a_file_for_every_version_that_the_data_names_and_no_other() -> None:
    wanted = tomllib.loads((TOOLS / "torch_versions.toml").read_text("utf-8"))["versions"]
    assert list(oracle.versions()) == wanted == list(COUNTS)


@pytest.mark.parametrize(
    ("overload", "first"),
    [
        ("im2col", "2.6.0"),
        ("_linalg_det.result", "2.7.1"),
        ("cholesky", "2.7.1"),
        ("col2im", "2.8.0"),
        ("_fused_rms_norm", "2.8.0"),
        ("native_dropout", "2.9.1"),
        ("_embedding_bag", "2.10.0"),
        ("gcd.out", "2.11.0"),
        ("linalg_qr", "2.12.1"),
        ("_cdist_backward", "2.13.0"),
        ("_linalg_eigh.eigenvalues", "2.14.1"),
        ("take", "2.15.0"),
    ],
)
def test_the_first_version_with_a_kernel_is_known(overload: str, first: str) -> None:
    found = {each.overload: each for each in history.histories(overload)}[overload]
    assert found.first_kernel == first
    later = list(COUNTS)[list(COUNTS).index(first) :]
    assert {found.states[version] for version in later} <= {"kernel", "absent"}


@EVERY_VERSION
@pytest.mark.parametrize(
    "overload",
    ["mode", "linalg_eig", "_pdist_forward", "_adaptive_avg_pool3d", "multi_margin_loss"],
)
def test_the_sentinels_are_missing_in_every_torch(overload: str, version: str) -> None:
    assert oracle.load(version).state(overload) == "missing"
    assert overload in oracle.load(version).cpu_only


def test_what_only_python_or_hand_written_code_registers_is_known() -> None:
    assert "native_group_norm" in oracle.load("2.5").by_hand
    assert "linalg_lu_solve.out" in oracle.load("2.13").by_hand
    assert "bitwise_not.out" in oracle.load("2.0").by_hand
    assert oracle.load("2.5").state("_slow_conv2d_forward") == "kernel"
    assert oracle.load("2.15").by_hand == {"_slow_conv2d_forward"}


def test_states_are_told_apart() -> None:
    operators = oracle.load("2.13.0")
    assert operators.state("add.Tensor") == "kernel"
    assert operators.state("aten::matmul") == "composite"
    assert operators.state("linalg_svd") == "fallback"
    assert operators.state("aten.mode.default") == "missing"
    assert operators.state("no_such_operator") == "absent"
    # An explicit composite wins over the delegate that the yaml names beside it.
    assert operators.state("all.dims") == "composite"
    assert operators.asks("aten::special_airy_ai") == "special_airy_ai.out"
    assert operators.asks("add.Tensor") == "add.Tensor"


@pytest.mark.parametrize("version", ["2.8", "2.8.0", "2.8.1+cpu", "2.8.0.dev20250601"])
def test_a_version_is_one_of_its_minor(version: str) -> None:
    assert oracle.load(version).torch == "2.8.0"


@pytest.mark.parametrize("version", ["1.13", "99.0", "2"])
def test_an_unknown_version_is_never_guessed(version: str) -> None:
    with pytest.raises(UserError, match="are not known"):
        oracle.load(version)


def test_what_is_no_version_is_said_so() -> None:
    with pytest.raises(UserError, match="is not a version"):
        oracle.load("newest")


def test_the_dispatcher_of_the_installed_torch_agrees() -> None:
    """A build without MPS still knows which composites that backend would get, and CPU kernels."""
    torch = pytest.importorskip("torch")
    try:
        operators = oracle.load(torch.__version__)
    except UserError as error:
        pytest.skip(str(error))
    if torch.backends.mps.is_built():
        pytest.skip("this torch has MPS kernels of its own")
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    wrong = []
    for overload in sorted(operators.overloads):
        state, asks = operators.state(overload), operators.asks(overload) != overload
        generated = computed(f"aten::{overload}", "MPS")
        # A variant without a kernel has a generated one, which asks .out.
        if state in ("composite", "missing") and generated != (state == "composite" or asks):
            wrong.append(f"{overload}: {state}, {generated=}")
        cpu = torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{overload}", "CPU")
        if state == "missing" and not asks and cpu != (overload in operators.cpu_only):
            wrong.append(f"{overload}: {cpu=}")
    assert wrong == []


def test_an_operator_is_shown_over_all_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ops", "aten::linalg_qr"]) == 0
    out = capsys.readouterr().out
    assert "aten::linalg_qr: first kernel in torch 2.12 (missing in 2.0 to 2.11, kernel in" in out
    flags = next(line for line in out.splitlines() if line.startswith("linalg_qr "))
    assert flags.split()[1:] == ["x"] * 12 + ["K"] * 4
    assert "linalg_qr.out" in out


def test_one_overload_may_be_asked_for_alone() -> None:
    assert [each.overload for each in history.histories("mode.default")] == ["mode"]
    assert len(history.histories("mode")) > 1
    assert [each.overload for each in history.histories("linalg_qr.out")] == ["linalg_qr.out"]


def test_the_difference_of_two_versions_names_what_gained_and_what_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["ops", "--diff", "2.13", "2.14", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["before"], answer["after"]) == ("2.13.0", "2.14.1")
    changes = {each["overload"]: (each["before"], each["after"]) for each in answer["changes"]}
    assert changes["_linalg_eigh"] == ("missing", "kernel")
    assert changes["linalg_svd"] == ("fallback", "composite")
    assert changes["cholesky"] == ("kernel", "absent")
    assert "add.Tensor" not in changes
    assert main.main(["ops", "--diff", "2.13", "2.14"]) == 0
    assert "fallback -> composite (2)\n  linalg_svd linalg_svd.U" in capsys.readouterr().out


def test_one_state_of_one_version_is_listed_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ops", "--list", "fallback", "--torch", "2.13"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == ["embedding_renorm_", "linalg_svd", "linalg_svd.U"]
    assert main.main(["ops", "--list", "missing", "--torch", "2.13", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["torch"], answer["list"]) == ("2.13.0", "missing")
    assert "mode" in answer["overloads"]


@pytest.mark.parametrize("kind", history.LISTS)
def test_every_list_can_be_asked_for(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["ops", "--list", kind, "--torch", "2.13"]) == 0
    assert capsys.readouterr().out.splitlines() == list(history.listed(kind, "2.13")) != []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linalg_qrr"], "close: linalg_qr"),
        (["zzzzzzzz"], "no torch from 2.0.1 to 2.15.0 has an operator aten::zzzzzzzz"),
        (["--diff", "2.5", "9.9"], "torch 9.9 are not known"),
        (["mode", "--torch", "2.13"], "--torch goes with --list"),
    ],
)
def test_bad_input_ends_in_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["ops", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_asking_imports_no_torch() -> None:
    code = (
        "import sys; from metalassay.cli import main; main.main(['ops', 'mode']); assert 'torch' not in"
        " sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
