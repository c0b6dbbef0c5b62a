"""PYTORCH_ENABLE_MPS_FALLBACK: what it does, when, and what it does not do.

The variable is read once, while torch is imported, so each test has its own process. The oracle knows
which operators the installed torch lacks on MPS.
"""

from __future__ import annotations

import json
import re

import mps_processes
import pytest
from mps_fallback_probes import (
    COMPARE,
    ON_MPS,
    PREPARE,
    PROBES,
    always_on_the_cpu,
    missing,
    operators,
)
from packaging.specifiers import SpecifierSet

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

TORCH = versions.installed()["torch"]
VARIABLE = "PYTORCH_ENABLE_MPS_FALLBACK"
ABORTS = "mps-fallback-value-aborts"
FALSE = "mps-fallback-false-is-true"
FALLS_BACK = "will fall back to run on the CPU"

# Guide 002's workaround, rewritten: catch RuntimeError, move positional tensors, try again.
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
    """Run the code on MPS, or skip the test; the variable is set, or unset, before the process starts."""
    mps_processes.require_mps()
    printed: str = mps_processes.run("-c", code, env={VARIABLE: value})
    return printed


def call(name: str, value: str | None, before: str = "") -> str:
    """Call a probed operator on MPS."""
    return run(PREPARE + before + ON_MPS + PROBES[name], value)


def compared(names: list[str], value: str | None, before: str = "") -> tuple[float, list[str]]:
    """Return the largest difference between operators on MPS and the CPU, and the warnings."""
    expressions = ", ".join(PROBES[name] for name in names)
    result = json.loads(run(before + COMPARE.format(expressions=expressions), value))
    return result["difference"], [text for text in result["warnings"] if FALLS_BACK in text]


def is_on(value: str | None) -> bool:
    """Return whether this value turns the fallback on, so that a missing operator can be called."""
    mps_processes.require_mps()
    try:
        call(missing()[0], value)
    except NotImplementedError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.mps
def test_a_missing_operator_names_itself_and_the_variable() -> None:
    mps_processes.require_mps()
    issue = "77764" if SpecifierSet("<2.6").contains(TORCH, prereleases=True) else "141287"
    for name in missing()[:3]:
        with pytest.raises(NotImplementedError) as raised:
            call(name, None)
        message = str(raised.value)
        operator = re.escape(operators().asks(name))
        assert re.match(
            f"The operator 'aten::{operator}' is not currently implemented for the MPS device",
            message,
        )
        assert f"{VARIABLE}=1" in message
        assert f"/issues/{issue}" in message


@pytest.mark.slow
@pytest.mark.mps
def test_with_the_variable_it_runs_on_the_cpu_and_is_right() -> None:
    mps_processes.require_mps()
    for name in missing():
        difference, messages = compared([name], "1")
        assert difference < 1e-5, name
        assert [f"'aten::{operators().asks(name)}'" in text for text in messages] == [True]


@pytest.mark.slow
@pytest.mark.mps
def test_the_variable_does_nothing_once_torch_is_imported() -> None:
    mps_processes.require_mps()
    with pytest.raises(NotImplementedError):
        call(missing()[0], None, before=f"import os; os.environ['{VARIABLE}'] = '1'\n")


@pytest.mark.slow
@pytest.mark.mps
def test_one_turns_the_fallback_on_and_zero_does_not() -> None:
    assert is_on("1")
    assert not is_on("0")
    assert not is_on(None)


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.bug(ABORTS, symptom="aborted")
@pytest.mark.parametrize("value", ["true", ""])
def test_torch_can_be_imported_with_a_value_that_is_not_a_number(upstream: str, value: str) -> None:
    assert run("import torch; print('here')", value).strip() == "here"


@pytest.mark.slow
@pytest.mark.mps
@pytest.mark.bug(FALSE, symptom="on")
@pytest.mark.parametrize("value", ["false", "no", ""])
def test_a_negative_word_turns_the_fallback_off(upstream: str, value: str) -> None:
    mps_processes.require_mps()
    if SpecifierSet("<2.8").contains(TORCH, prereleases=True):
        pytest.skip("torch below 2.8 accepts only numbers, which has its own test")
    assert not is_on(value), "the fallback is on"


@pytest.mark.slow
@pytest.mark.mps
def test_the_warning_appears_once_per_process_or_at_each_call_on_request() -> None:
    mps_processes.require_mps()
    names = missing()[:2]
    _, once = compared(names * 2, "1")
    _, always = compared(names * 2, "1", before="import torch; torch.set_warn_always(True)\n")
    assert len(once) == 1
    assert len(always) == 4


@pytest.mark.slow
@pytest.mark.mps
def test_some_operators_fall_back_without_the_variable() -> None:
    mps_processes.require_mps()
    names = always_on_the_cpu()
    if not names:
        pytest.skip(f"none of the probed operators always falls back in torch {TORCH}")
    for name in names:
        difference, messages = compared([name], None)
        assert difference < 1e-5, name
        assert len(messages) == 1, name


@pytest.mark.slow
@pytest.mark.mps
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
    try:
        run(PREPARE + "d = 'mps'\n" + code, "1")
    except kind as error:
        refusal = error
    else:
        # No run of ours has seen the refusal; that it is gone is a finding, and good news for the user.
        pytest.skip("not refused here, as the wheels say that it is: news for metalassay")
    assert re.search(words, str(refusal))
    assert type(refusal) is not NotImplementedError


@pytest.mark.slow
@pytest.mark.mps
def test_safe_operation_catches_a_missing_operator_and_leaves_the_device() -> None:
    mps_processes.require_mps()
    code = f"print(safe_operation(lambda x: {PROBES[missing()[0]]}, x).device.type)"
    assert run(SAFE_OPERATION + PREPARE + ON_MPS + code, None).strip() == "cpu"


@pytest.mark.slow
@pytest.mark.mps
def test_safe_operation_misses_float64() -> None:
    with pytest.raises(TypeError, match="doesn't support float64"):
        run(SAFE_OPERATION + PREPARE + ON_MPS + "safe_operation(lambda x: x.double(), x)", None)


def test_safe_operation_moves_neither_keyword_nor_nested_tensors() -> None:
    import torch

    class Elsewhere(torch.Tensor):
        def cpu(self, memory_format: object = None) -> torch.Tensor:
            return torch.ones(1)

    def function(first: object, nested: list[object], *, named: object) -> list[object]:
        if isinstance(first, Elsewhere):
            raise NotImplementedError("not currently implemented for the MPS device")
        return [first, nested[0], named]

    names: dict[str, object] = {}
    exec(SAFE_OPERATION, names)  # noqa: S102  (the same code that the child processes run)
    safe_operation = names["safe_operation"]
    assert callable(safe_operation)
    there = torch.ones(1).as_subclass(Elsewhere)
    moved = safe_operation(function, there, [there], named=there)
    assert [type(value) for value in moved] == [torch.Tensor, Elsewhere, Elsewhere]


@pytest.mark.slow
@pytest.mark.mps
def test_a_census_counts_each_fallback_of_a_training_step() -> None:
    mps_processes.require_mps()
    name = missing()[0]
    code = f"""
from metalassay.mps.operators import oracle
from metalassay.mps.operators.fallback_census import census
with census(oracle.load(torch.__version__)) as counts:
    for calls in (2, 0):
        for _ in range(calls):
            {PROBES[name]}
        counts.step()
print([[(one.operator, one.calls, one.seconds > 0) for one in step.fallbacks] for step in counts.steps])
"""
    operator = operators().asks(name)
    assert run(PREPARE + ON_MPS + code, "1").strip() == str([[(operator, 2, True)], []])
