"""Which macOS each torch needs: the data, and comparisons with it."""

from __future__ import annotations

import pytest

from metalassay.mps.probe import os_floors


@pytest.mark.parametrize(
    ("torch", "needs"),
    [
        ("2.0.1", "12.3"),
        ("2.5.1+cpu", "13.0"),
        ("2.6.0", "13.0"),
        ("2.8.0", "13.0"),
        ("2.9.0", "14.0"),
        ("2.14.1", "14.0"),
        ("2.15.0", "15.0"),
        ("2.15.0.dev20261001", "15.0"),
    ],
)
def test_each_torch_needs_its_own_macos(torch: str, needs: str) -> None:
    floor = os_floors.floor(torch)
    assert floor is not None
    assert floor.needs == needs


@pytest.mark.parametrize("torch", [None, "", "1.13.1", "nonsense"])
def test_an_unknown_torch_has_no_known_floor(torch: str | None) -> None:
    assert os_floors.floor(torch) is None


def test_each_torch_is_in_one_row_with_a_source() -> None:
    for minor in range(16):
        assert sum(row.torch.contains(f"2.{minor}.0") for row in os_floors.load()) == 1
    assert all(row.source.startswith("https://") for row in os_floors.load())


@pytest.mark.parametrize(
    ("macos", "below"),
    [("14.7.1", True), ("15.0", False), ("26.1", False), (None, False), ("x", False)],
)
def test_only_a_known_older_macos_is_below_the_floor(macos: str | None, below: bool) -> None:
    assert os_floors.below(macos, os_floors.floor("2.15.0")) is below


@pytest.mark.parametrize(
    ("torch", "macos", "python", "expected"),
    [
        ("2.15.0", "15.0", "3.11.2", True),
        ("2.15.0", "14.7", "3.11.2", False),
        ("2.15.0", "15.0", "3.10.9", False),
        ("2.15.0", None, None, True),
        ("1.13.1", "11.0", "3.8", True),
    ],
)
def test_a_torch_can_work_unless_macos_or_python_is_known_to_be_too_old(
    torch: str, macos: str | None, python: str | None, expected: bool
) -> None:
    assert os_floors.runs(torch, macos, python) is expected
