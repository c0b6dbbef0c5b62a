"""PYTORCH_ENABLE_MPS_FALLBACK: what it does, when, and what it does not do.

The variable is read once, while torch is imported, so each test has its own process. Which
operators are missing is asked of the oracle, for the torch that is installed.
"""

from __future__ import annotations

import json
import re

import mps_processes
import pytest
from mps_sentinels import ON_MPS, PREPARE, SENTINELS, always_on_the_cpu, missing, operators
from packaging.specifiers import SpecifierSet

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

TORCH = versions.installed()["torch"]
VARIABLE = "PYTORCH_ENABLE_MPS_FALLBACK"
ABORTS = "mps-fallback-value-aborts"
FALSE = "mps-fallback-false-is-true"
FALLS_BACK = "will fall back to run on the CPU"

# Prints the largest difference from the CPU and the warnings, after `{calls}` on MPS.
COMPARE = (
    PREPARE
    + """
import json, warnings
d = "cpu"
expected = [{expressions}]
"""
    + ON_MPS
    + """
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    found = [{expressions}]
assert all(each.device.type == "mps" for each in found)
print(json.dumps({{
    "difference": max((a - b.cpu()).abs().max().item() for a, b in zip(expected, found)),
    "warnings": [str(each.message) for each in heard],
}}))
"""
)

# Guide 002's way out, in words of our own: catch RuntimeError, move positional tensors, try again.
SAFE_OPERATION = """
import torch
def safe_operation(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except RuntimeError as error:
        if "MPS" not in str(error):
            raise
        return function(*(x.cpu() if torch.is_tensor(x) else x for x in args), **kwargs)
"""


def run(code: str, value: str | None) -> str:
    """Run where MPS is usable, with the variable set before the start, or unset."""
    mps_processes.require_mps()
    said: str = mps_processes.run("-c", code, env={VARIABLE: value})
    return said


def call(name: str, value: str | None, before: str = "") -> str:
    """Call a sentinel on MPS."""
    return run(PREPARE + before + ON_MPS + SENTINELS[name], value)


def compared(names: list[str], value: str | None, before: str = "") -> tuple[float, list[str]]:
    """Return the largest difference between sentinels on MPS and the CPU, and the warnings."""
    expressions = ", ".join(SENTINELS[name] for name in names)
    said = json.loads(run(before + COMPARE.format(expressions=expressions), value))
    return said["difference"], [each for each in said["warnings"] if FALLS_BACK in each]


def is_on(value: str | None) -> bool:
    """Say whether the fallback is on with this value: whether a missing operator can be called."""
    mps_processes.require_mps()
    try:
        call(missing()[0], value)
    except NotImplementedError:
        return False
    return True


@pytest.mark.slow
def test_a_missing_operator_names_itself_and_the_variable() -> None:
    mps_processes.require_mps()
    issue = "77764" if SpecifierSet("<2.6").contains(TORCH, prereleases=True) else "141287"
    for name in missing()[:3]:
        with pytest.raises(NotImplementedError) as raised:
            call(name, None)
        said = str(raised.value)
        asked = re.escape(operators().asks(name))
        assert re.match(
            f"The operator 'aten::{asked}' is not currently implemented for the MPS device", said
        )
        assert f"{VARIABLE}=1" in said
        assert f"/issues/{issue}" in said


@pytest.mark.slow
def test_with_the_variable_it_runs_on_the_cpu_and_is_right() -> None:
    mps_processes.require_mps()
    for name in missing():
        difference, said = compared([name], "1")
        assert difference < 1e-5, name
        assert [f"'aten::{operators().asks(name)}'" in each for each in said] == [True]


@pytest.mark.slow
def test_the_variable_does_nothing_once_torch_is_imported() -> None:
    mps_processes.require_mps()
    with pytest.raises(NotImplementedError):
        call(missing()[0], None, before=f"import os; os.environ['{VARIABLE}'] = '1'\n")


@pytest.mark.slow
def test_one_turns_it_on_and_zero_does_not() -> None:
    assert is_on("1")
    assert not is_on("0")
    assert not is_on(None)


@pytest.mark.slow
@pytest.mark.bug(ABORTS, symptom="aborted")
@pytest.mark.parametrize("value", ["true", ""])
def test_a_value_that_is_no_number_lets_torch_be_imported(upstream: str, value: str) -> None:
    assert run("import torch; print('here')", value).strip() == "here"


@pytest.mark.slow
@pytest.mark.bug(FALSE, symptom="on")
@pytest.mark.parametrize("value", ["false", "no", ""])
def test_a_no_is_a_no(upstream: str, value: str) -> None:
    mps_processes.require_mps()
    if SpecifierSet("<2.8").contains(TORCH, prereleases=True):
        pytest.skip("torch below 2.8 takes numbers only, which has its own test")
    assert not is_on(value), "the fallback is on"


@pytest.mark.slow
def test_the_warning_comes_once_a_process_and_at_each_call_if_asked() -> None:
    mps_processes.require_mps()
    names = missing()[:2]
    _, once = compared(names * 2, "1")
    _, always = compared(names * 2, "1", before="import torch; torch.set_warn_always(True)\n")
    assert len(once) == 1
    assert len(always) == 4


@pytest.mark.slow
def test_some_operators_fall_back_without_the_variable() -> None:
    mps_processes.require_mps()
    names = always_on_the_cpu()
    if not names:
        pytest.skip(f"torch {TORCH} has no such operator that we can call")
    for name in names:
        difference, said = compared([name], None)
        assert difference < 1e-5, name
        assert len(said) == 1, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("x.double().to(d)", TypeError, "doesn't support float64"),
        ("x.to(d).double()", TypeError, "doesn't support float64"),
        (
            "F.linear(*(torch.ones(4, 4, dtype=torch.int32, device=d),) * 2)",
            RuntimeError,
            "linear for non-float inputs",
        ),
        (
            "torch.nn.LSTM(4, 4, proj_size=2).to(d)(torch.ones(1, 1, 4, device=d))",
            RuntimeError,
            "LSTM with projections is not currently supported with MPS",
        ),
    ],
)
def test_what_a_kernel_refuses_does_not_fall_back(
    code: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        run(PREPARE + "d = 'mps'\n" + code, "1")
    assert raised.type is not NotImplementedError


@pytest.mark.slow
def test_safe_operation_catches_a_missing_operator_and_leaves_the_device() -> None:
    mps_processes.require_mps()
    code = f"print(safe_operation(lambda x: {SENTINELS[missing()[0]]}, x).device.type)"
    assert run(SAFE_OPERATION + PREPARE + ON_MPS + code, None).strip() == "cpu"


@pytest.mark.slow
def test_safe_operation_misses_float64() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        run(SAFE_OPERATION + PREPARE + ON_MPS + "safe_operation(lambda x: x.double(), x)", None)


def test_safe_operation_moves_no_keyword_and_no_nested_tensor() -> None:
    import torch

    class Elsewhere(torch.Tensor):
        def cpu(self, memory_format: object = None) -> torch.Tensor:
            return torch.ones(1)

    def function(first: object, nested: list[object], *, named: object) -> list[object]:
        if isinstance(first, Elsewhere):
            raise NotImplementedError("not currently implemented for the MPS device")
        return [first, nested[0], named]

    names: dict[str, object] = {}
    exec(SAFE_OPERATION, names)  # noqa: S102  (the code that the processes run)
    safe_operation = names["safe_operation"]
    assert callable(safe_operation)
    there = torch.ones(1).as_subclass(Elsewhere)
    moved = safe_operation(function, there, [there], named=there)
    assert [type(each) for each in moved] == [torch.Tensor, Elsewhere, Elsewhere]


@pytest.mark.slow
def test_a_census_counts_each_fallback_of_a_training_step() -> None:
    mps_processes.require_mps()
    name = missing()[0]
    code = f"""
from metalassay.mps.operators import oracle
from metalassay.mps.operators.fallback_census import census
with census(oracle.load(torch.__version__)) as found:
    for calls in (2, 0):
        for _ in range(calls):
            {SENTINELS[name]}
        found.step()
print([[(each.operator, each.calls, each.seconds > 0) for each in step.fallbacks] for step in found.steps])
"""
    asked = operators().asks(name)
    assert run(PREPARE + ON_MPS + code, "1").strip() == str([[(asked, 2, True)], []])
