"""The oracle's answers, and its data: the expected counts were read from the libraries in the wheels
by another program, before ours was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metalassay.errors import UserError
from metalassay.mps.operators import oracle

OPERATORS = Path(oracle.__file__).parent

# By version: kernels that torchgen generates, SparseMPS kernels, registered fallbacks.
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


def registered_elsewhere(version: str) -> set[str]:
    """Return the kernels in a file that torchgen did not generate: in C++ by hand, or in Python."""
    record = json.loads((OPERATORS / f"{version}.json").read_text("utf-8"))
    return {
        operator if overload == "default" else f"{operator}.{overload}"
        for group in ("kernels_by_hand", "kernels_in_python")
        for operator, overloads in record[group].items()
        for overload in overloads.split()
    }


EVERY_VERSION = pytest.mark.parametrize("version", COUNTS)


@EVERY_VERSION
def test_a_version_has_the_kernels_that_its_library_registers(version: str) -> None:
    operators, in_other_code = oracle.load(version), registered_elsewhere(version)
    fallbacks = [name for name in operators.fallbacks if operators.asks(name) == name]
    assert in_other_code < operators.kernels
    generated = len(operators.kernels) - len(in_other_code)
    assert (generated, len(operators.sparse_kernels), len(fallbacks)) == COUNTS[version]


@EVERY_VERSION
def test_every_overload_is_in_exactly_one_group(version: str) -> None:
    operators = oracle.load(version)
    groups = [operators.kernels, operators.composites, operators.fallbacks, operators.missing]
    assert sum(map(len, groups)) == len(operators.overloads)
    assert operators.cpu_only <= operators.missing
    assert operators.sparse_kernels <= operators.overloads


@EVERY_VERSION
def test_the_overload_that_a_variant_asks_for_decides_its_state(version: str) -> None:
    operators = oracle.load(version)
    follows = {"kernel": "composite", "fallback": "fallback", "missing": "missing"}
    asked = {name: operators.asks(name) for name in operators.overloads}
    variants = {name: out for name, out in asked.items() if name != out}
    assert variants
    for name, out in variants.items():
        assert operators.state(name) == follows[operators.state(out)], name


@EVERY_VERSION
def test_a_file_is_sorted_and_names_its_source(version: str) -> None:
    text = (OPERATORS / f"{version}.json").read_text("utf-8")
    record = json.loads(text)
    assert text == json.dumps(record, indent=1) + "\n"
    for group in (value for value in record.values() if isinstance(value, dict)):
        assert list(group) == sorted(group)
    assert record["torch"] == version
    assert record["wheel"].startswith(f"torch-{version}-")
    assert record["wheel"].endswith("_arm64.whl")
    assert (len(record["sha256"]), len(record["git"])) == (64, 40)


def test_every_shipped_version_is_tested_here() -> None:
    assert list(oracle.versions()) == list(COUNTS)


@EVERY_VERSION
@pytest.mark.parametrize(
    "overload",
    ["mode", "linalg_eig", "_pdist_forward", "_adaptive_avg_pool3d", "multi_margin_loss"],
)
def test_the_sentinel_operators_are_missing_in_every_torch(overload: str, version: str) -> None:
    assert oracle.load(version).state(overload) == "missing"
    assert overload in oracle.load(version).cpu_only


def test_kernels_registered_only_in_python_or_by_hand_are_included() -> None:
    assert oracle.load("2.5").state("native_group_norm") == "kernel"
    assert oracle.load("2.13").state("linalg_lu_solve.out") == "kernel"
    assert oracle.load("2.0").state("bitwise_not.out") == "kernel"
    assert oracle.load("2.5").state("_slow_conv2d_forward") == "kernel"
    assert registered_elsewhere("2.15.0") == {"_slow_conv2d_forward"}


def test_each_state_has_an_example() -> None:
    operators = oracle.load("2.13.0")
    assert operators.state("add.Tensor") == "kernel"
    assert operators.state("aten::matmul") == "composite"
    assert operators.state("linalg_svd") == "fallback"
    assert operators.state("aten.mode.default") == "missing"
    assert operators.state("no_such_operator") == "absent"
    # An explicit composite has priority over the delegate that the yaml names as well.
    assert operators.state("all.dims") == "composite"
    assert operators.asks("aten::special_airy_ai") == "special_airy_ai.out"
    assert operators.asks("add.Tensor") == "add.Tensor"


@pytest.mark.parametrize("version", ["2.8", "2.8.0", "2.8.1+cpu", "2.8.0.dev20250601"])
def test_a_version_gets_the_operators_of_its_minor_version(version: str) -> None:
    assert oracle.load(version).torch == "2.8.0"


@pytest.mark.parametrize("version", ["1.13", "99.0", "2"])
def test_the_operators_of_an_unknown_version_are_not_guessed(version: str) -> None:
    with pytest.raises(UserError, match="are not known"):
        oracle.load(version)


def test_a_string_that_is_not_a_version_is_rejected() -> None:
    with pytest.raises(UserError, match="is not a version"):
        oracle.load("newest")


def test_the_dispatcher_of_the_installed_torch_agrees() -> None:
    """A build without MPS still knows the CPU kernels, and which composites MPS would get."""
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
        state = operators.state(overload)
        asks_another = operators.asks(overload) != overload
        generated = computed(f"aten::{overload}", "MPS")
        # A variant without a kernel of its own has a generated one, which calls .out.
        if state in ("composite", "missing") and generated != (
            state == "composite" or asks_another
        ):
            wrong.append(f"{overload}: {state}, {generated=}")
        cpu = torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{overload}", "CPU")
        if state == "missing" and not asks_another and cpu != (overload in operators.cpu_only):
            wrong.append(f"{overload}: {cpu=}")
    assert wrong == []
