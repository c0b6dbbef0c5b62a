"""The census of fallbacks, with warnings as torch issues them; needs no Mac and no torch."""

from __future__ import annotations

import contextlib
import sys
import time
import types
import warnings
from typing import Any

import pytest

from metalassay.mps.operators import oracle
from metalassay.mps.operators.fallback_census import Fallback, census, fallen_back

# From the wheels of torch 2.5.1 and 2.13.0; only the source location at the end differs.
WARNING = (
    "The operator 'aten::{}' is not currently supported on the MPS backend and will fall back to run"
    " on the CPU. This may have performance implications. (Triggered internally at"
    " aten/src/ATen/mps/MPSFallback.mm:14.)"
)


class Mode:
    """A stand-in for TorchDispatchMode: the tests call ``__torch_dispatch__`` themselves."""

    last: Any = None

    def __enter__(self) -> Mode:
        Mode.last = self
        return self

    def __exit__(self, *_: object) -> None:
        Mode.last = None


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Replace torch by a fake that counts waits and stores the warning setting."""
    fake: Any = types.SimpleNamespace(always=False, waits=0)

    def wait() -> None:
        fake.waits += 1

    fake.mps = types.SimpleNamespace(synchronize=wait)
    fake.backends = types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: True))
    fake.is_warn_always_enabled = lambda: fake.always
    fake.set_warn_always = lambda value: setattr(fake, "always", value)
    dispatch = types.SimpleNamespace(TorchDispatchMode=Mode)
    fake.utils = types.SimpleNamespace(_python_dispatch=dispatch)
    monkeypatch.setitem(sys.modules, "torch", fake)
    return fake


def fall_back(operator: str, line: int = 12) -> None:
    warnings.warn_explicit(WARNING.format(operator), UserWarning, "train.py", line)


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        (WARNING.format("mode"), "mode"),
        (WARNING.format("linalg_qr.out"), "linalg_qr.out"),
        (WARNING.format("mode").replace("aten::", "torchvision::"), "torchvision::mode"),
        ("CUDA is not available, disabling CUDA profiling", None),
        ("The operator 'aten::mode' is not currently implemented for the MPS device.", None),
    ],
)
def test_a_warning_names_the_operator_that_fell_back(text: str, operator: str | None) -> None:
    assert fallen_back(text) == operator


def test_each_step_counts_its_own_fallbacks_and_their_lines(torch: Any) -> None:
    with census() as counts:
        for _ in range(3):
            fall_back("mode")
        fall_back("mode", line=40)
        fall_back("_pdist_forward", line=41)
        first = counts.step()
        second = counts.step()
        fall_back("mode")
        third = counts.step()
    assert first.fallbacks == (
        Fallback("mode", 4, ("train.py:12", "train.py:40"), None),
        Fallback("_pdist_forward", 1, ("train.py:41",), None),
    )
    assert second.fallbacks == ()
    assert third.fallbacks == (Fallback("mode", 1, ("train.py:12",), None),)
    assert counts.steps == [first, second, third]


def test_a_step_waits_for_the_device_and_is_timed(torch: Any) -> None:
    with census() as counts:
        time.sleep(0.01)
        step = counts.step()
    assert torch.waits == 1
    assert step.seconds >= 0.01


def test_torch_warns_at_every_call_inside_the_block_only(torch: Any) -> None:
    for before in (False, True):
        torch.always = before
        inside = []
        with contextlib.suppress(KeyError), census():
            inside.append(torch.always)
            raise KeyError
        assert inside == [True]
        assert torch.always is before


def test_only_other_warnings_are_issued_again(torch: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with census() as counts:
            fall_back("mode")
            warnings.warn("soon", FutureWarning, stacklevel=1)
            counts.step()
            fall_back("mode")
    assert [str(warning.message) for warning in caught] == ["soon"]


def test_calls_that_fall_back_are_timed_if_the_operators_are_given(torch: Any) -> None:
    with census(oracle.load("2.5")) as counts:
        for name in ("aten.linalg_qr.default", "aten.mode.default", "aten.add.Tensor"):

            class Call:
                def __str__(self, name: str = name) -> str:
                    return name

                def __call__(self, seconds: float) -> None:
                    time.sleep(seconds)

            Mode.last.__torch_dispatch__(Call(), (), (0.01,))
        fall_back("linalg_qr.out")
        step = counts.step()
    assert [fallback.operator for fallback in step.fallbacks] == ["linalg_qr.out"]
    assert step.fallbacks[0].seconds is not None
    assert 0.01 <= step.fallbacks[0].seconds <= step.seconds
    assert torch.waits == 2 * 2 + 1  # two around each call that falls back, none around `add`


def test_a_census_without_torch_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with pytest.raises(RuntimeError, match="import torch first"), census():
        pass
