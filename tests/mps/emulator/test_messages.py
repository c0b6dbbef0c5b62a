"""The texts of each torch release, and how it reads its fallback variable."""

from __future__ import annotations

import pytest

from metalassay.errors import UserError
from metalassay.mps.emulator import messages
from metalassay.mps.operators import oracle


@pytest.mark.parametrize(
    ("value", "torch", "expected"),
    [
        (None, "2.5.1", False),
        ("0", "2.5.1", False),
        ("1", "2.5.1", True),
        (" 2x", "2.7.1", True),
        ("0", "2.8.0", False),
        ("1", "2.8.0", True),
        ("", "2.8.0", True),
        ("false", "2.13.0", True),
        ("00", "2.8.0", True),
        ("00", "2.7.1", False),
    ],
)
def test_the_variable_is_read_as_in_that_release(
    value: str | None, torch: str, expected: bool
) -> None:
    assert messages.fallback_enabled(value, torch) is expected


@pytest.mark.parametrize("value", ["true", "", "yes"])
def test_a_value_that_aborts_an_old_torch_is_an_error(value: str) -> None:
    with pytest.raises(UserError, match=r"is not a number: importing torch 2\.5\.1 would abort"):
        messages.fallback_enabled(value, "2.5.1")


@pytest.mark.parametrize("version", oracle.versions())
def test_each_release_has_its_own_texts(version: str) -> None:
    texts = messages.messages(version, "abc123")
    error = texts.not_implemented
    assert error.startswith(
        "The operator '{}' is not currently implemented for the MPS device. If you want this op to"
        " be "
    )
    assert error.endswith("this will be slower than running natively on MPS.")
    old = version in ("2.0.1", "2.1.2", "2.2.2", "2.3.1", "2.4.1", "2.5.1")
    assert ("issues/77764. As" in error) is old
    assert ("issues/141287 and" in error and "commit hash abc123. As" in error) is not old
    assert bool(texts.not_implemented_distributed) is (
        version in ("2.11.0", "2.12.1", "2.13.0", "2.14.1", "2.15.0")
    )
