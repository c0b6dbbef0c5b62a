"""The data that people keep about operators: every row is reachable and names things that exist."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

import pytest
from packaging.version import Version

from metalassay.mps.operators import advice, oracle

OVERLOADS = sorted(
    frozenset().union(*(oracle.load(version).overloads for version in oracle.versions()))
)
MINORS = {".".join(version.split(".")[:2]) for version in oracle.versions()}


ROWS = {overload: row for overload in OVERLOADS if (row := advice.for_operator(overload))}
LACKING = {
    overload
    for version in oracle.versions()
    for overload in oracle.load(version).overloads
    if oracle.load(version).state(overload) in ("missing", "fallback")
}
# Only torch 1.12 or 1.13, which are not in the record, lack these.
ONLY_BEFORE_2 = {"_slow_conv2d_forward", "cumsum*"}


@pytest.mark.parametrize("row", advice.all_advice(), ids=lambda row: row.operators[0])
def test_every_row_of_advice_is_about_operators_that_some_torch_lacks(row: advice.Advice) -> None:
    about = {overload for overload, its_row in ROWS.items() if its_row == row}
    assert about
    assert bool(about & LACKING) != (row.operators[0] in ONLY_BEFORE_2)
    assert row.do
    assert row.link.startswith("https://")


def test_every_pattern_fits_an_operator() -> None:
    patterns = [pattern for row in advice.all_advice() for pattern in row.operators]
    assert [each for each in patterns if not fnmatch.filter(OVERLOADS, each)] == []


def test_a_call_that_works_is_about_operators_that_never_get_a_kernel() -> None:
    rows = [row for row in advice.all_advice() if row.works_torch]
    assert [row.call for row in rows] == ["torch.nn.Conv3d", "torch.nn.ConvTranspose3d"]
    for row in rows:
        assert row.works_torch in MINORS
        for overload in (each for each, its_row in ROWS.items() if its_row == row):
            assert "kernel" not in {oracle.load(each).state(overload) for each in oracle.versions()}


def test_the_more_special_row_counts() -> None:
    svd, qr = advice.for_operator("_linalg_svd.U"), advice.for_operator("linalg_qr.out")
    det = advice.for_operator("_linalg_det.result")
    assert svd
    assert qr
    assert det
    assert "torch.linalg.svd" in svd.call
    assert "orthogonal_" in qr.do[0]
    assert det.steps("_linalg_det.result") == (
        "on the CPU, then back: torch.linalg.det(x.cpu()).to(x.device)",
    )
    assert advice.for_operator("add.Tensor") is None


@pytest.mark.parametrize("row", advice.libraries(), ids=lambda row: row.namespace + row.title[:20])
def test_every_row_of_the_libraries_is_reached(row: advice.Library) -> None:
    namespace = row.namespace.removesuffix("*")
    names = [name.replace("*", "x") for name in row.operators]
    assert row in [advice.for_library(namespace, name) for name in names]
    assert row.fallback in ("works", "fails", "wrong", "unknown")
    assert row.kernel is None or Version(row.kernel)
    assert (row.kernel is None) or row.package
    assert row.do
    assert row.link.startswith("https://")


def test_an_overload_belongs_to_the_operator_and_other_libraries_are_not_known() -> None:
    assert advice.for_library("torchvision", "nms.default") == advice.for_library(
        "torchvision", "nms"
    )
    assert advice.for_library("bitsandbytes", "gemv_4bit.out") is not None
    assert advice.for_library("mylib", "op") is None


@pytest.mark.parametrize("row", advice.kernels(), ids=lambda row: f"{row.names[0]} {row.dtypes[0]}")
def test_every_row_of_the_kernels_is_reached(row: advice.Kernel) -> None:
    first = row.names[0].replace("*", "x")
    assert advice.for_kernel(first, row.dtypes[0]) == row
    assert row.device in ("cpu", "mps")
    assert row.since is None or row.since in MINORS


def test_what_the_installed_torch_takes_on_the_cpu_is_what_the_data_say() -> None:
    """The calls whose kernels the rows about float16 name, run with float16."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x = torch.ones(2, 2, dtype=torch.float16)
    image = torch.ones(1, 1, 4, 4, dtype=torch.float16)
    labels = torch.tensor([0, 1])
    calls: dict[str, Callable[[], object]] = {
        "addmm_impl_cpu_": lambda: functional.linear(x, x, x[0]),
        "baddbmm_with_gemm": lambda: torch.bmm(x[None], x[None]),
        "slow_conv2d_cpu": lambda: functional.conv2d(image, image),
        "LayerNormKernelImpl": lambda: functional.layer_norm(x, (2,)),
        "upsample_nearest2d": lambda: functional.interpolate(image, scale_factor=2),
        "avg_pool2d": lambda: functional.avg_pool2d(image, 2),
        "softmax_lastdim_kernel_impl": lambda: x.softmax(-1),
        "bernoulli_scalar_cpu_": lambda: functional.dropout(x),
        "cumsum_out_cpu": lambda: x.cumsum(0),
        "nll_loss_out_frame": lambda: functional.cross_entropy(x, labels),
        "log_vml_cpu": lambda: x.log(),
        "GeluKernelImpl": lambda: functional.gelu(x),
        "linalg_svd_cpu": lambda: torch.linalg.svd(x),
        "lu_cpu": lambda: torch.linalg.lu_factor(x),
        "geqrf_cpu": lambda: torch.linalg.qr(x),
        "cdist": lambda: torch.cdist(x, x),
    }
    version = Version(torch.__version__).release[:2]
    for name, call in calls.items():
        row = advice.for_kernel(name, "Half")
        assert row is not None, name
        refused = ""
        try:
            call()
        except RuntimeError as error:  # NotImplementedError is one
            refused = str(error)
        takes_it = row.since is not None and version >= Version(row.since).release[:2]
        assert bool(refused) != takes_it, f"{name}: {refused}"
        if refused:
            assert refused == f"\"{name}\" not implemented for 'Half'"
