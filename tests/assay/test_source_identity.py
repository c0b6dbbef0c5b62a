"""The identity changes with the code of a benchmark, and with nothing else."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import pytest

from metalassay.assay.source_identity import identity

BENCHMARK = '''"""A module."""
import random
from json import dumps

ROWS = [random.random() for _ in range(10)]
UNUSED = 3


def rows() -> list:
    return ROWS


def test_sort(benchmark):
    # in place
    benchmark(sorted, rows())


def test_other(benchmark):
    benchmark(dumps, 1)
'''
_NUMBERS = itertools.count()


def of(text: str, folder: Path, parameters: str = "") -> str | None:
    number = next(_NUMBERS)
    file = folder / f"module_{number}.py"
    file.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return identity([module.test_sort], parameters)


def test_random_data_and_another_file_make_no_difference(tmp_path: Path) -> None:
    found = of(BENCHMARK, tmp_path)
    assert found is not None
    assert found.startswith("src1-")
    assert of(BENCHMARK, tmp_path) == found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# in place", "# anywhere"),
        ("    return ROWS", '    """Return the rows."""\n    return ROWS'),
        ('"""A module."""', '"""Another."""'),
        ("UNUSED = 3", "UNUSED = 4"),
        ("-> list", "-> tuple"),
        ("benchmark(dumps, 1)", "benchmark(dumps, 2)"),
        ("benchmark(sorted, rows())", "benchmark(\n        sorted, rows()\n    )"),
    ],
)
def test_what_is_not_timed_makes_no_difference(old: str, new: str, tmp_path: Path) -> None:
    assert old in BENCHMARK
    assert of(BENCHMARK.replace(old, new), tmp_path) == of(BENCHMARK, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("range(10)", "range(11)"),
        ("return ROWS", "return ROWS[1:]"),
        ("benchmark(sorted, rows())", "benchmark(list, rows())"),
        ("import random", "import secrets as random; random.random = lambda: 1"),
    ],
)
def test_what_is_timed_makes_a_difference(old: str, new: str, tmp_path: Path) -> None:
    assert old in BENCHMARK
    assert of(BENCHMARK.replace(old, new), tmp_path) != of(BENCHMARK, tmp_path)


def test_parameters_make_a_difference(tmp_path: Path) -> None:
    assert of(BENCHMARK, tmp_path, "10") != of(BENCHMARK, tmp_path, "100")


def test_a_function_without_source_has_no_identity() -> None:
    space: dict[str, object] = {}
    exec("def test_made(): pass", space)  # noqa: S102
    assert identity([space["test_made"]]) is None  # type: ignore[list-item]
    assert identity([len]) is None
