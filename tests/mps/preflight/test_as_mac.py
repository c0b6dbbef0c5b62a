"""Functions of torch take the branch of a Mac, and every function that has branches is known."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import device_branches
import pytest
import torch

from metalassay.mps.preflight import as_mac, predict, tracing

LISTED_FOR = "2.13"


@pytest.fixture
def exchanged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Exchange what a recording exchanges, until the test ends; return the names."""
    for row in predict.python_branches():
        for name in row.get("exchange", ()):
            function = as_mac._find(name)
            if function is not None:
                monkeypatch.setattr(function, "__code__", function.__code__)
                monkeypatch.setitem(function.__dict__, "_metalassay_exchanged", False)
    return as_mac.exchange(
        name for row in predict.python_branches() for name in row.get("exchange", ())
    )


def operators(function: Any) -> set[str]:
    """Return the operators that a function calls, without their overloads."""
    recorder = tracing.Recorder()
    with recorder:
        function()
    return {call["path"][-1].partition(".")[0] for call in recorder.trace()}


def clip() -> None:
    """Clip two gradients."""
    parameters = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    for parameter in parameters:
        parameter.grad = torch.ones(2)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)


def test_gradients_are_clipped_without_foreach_as_on_a_mac(exchanged: list[str]) -> None:
    assert "utils/_foreach_utils.py:_device_has_foreach_support" in exchanged
    assert not {name for name in operators(clip) if name.startswith("_foreach")}


def test_without_the_exchange_the_cpu_takes_foreach() -> None:
    """Show that the test above can fail."""
    assert "_foreach_norm" in operators(clip)


def test_norm_is_the_operator_of_a_mac(exchanged: list[str]) -> None:
    assert "linalg_vector_norm" not in operators(lambda: torch.norm(torch.ones(2), p=3, dim=0))


def test_words_are_exchanged_in_tuples_and_inner_functions() -> None:
    def ask(device: str) -> list[bool]:
        return [device in ("cpu", "cuda"), *(device == "mps" for _ in range(1))]

    assert ask("cpu") == [True, False]
    ask.__code__ = as_mac._exchanged(ask.__code__)
    assert ask("cpu") == [False, True]


def test_a_function_that_this_torch_does_not_have_is_left_out() -> None:
    assert as_mac.exchange(["optim/absent.py:f", "functional.py:absent"]) == []


@pytest.mark.skipif(
    not torch.__version__.startswith(LISTED_FOR),
    reason=f"the functions are listed for torch {LISTED_FOR}",
)
def test_every_function_of_torch_that_asks_for_the_device_is_listed() -> None:
    found = device_branches.find(Path(torch.__file__).parent)
    patterns = [name for row in predict.python_branches() for name in row["functions"]]
    fits = {
        pattern: [name for name in found if fnmatch.fnmatchcase(name, pattern)]
        for pattern in patterns
    }
    assert len(found) > 100
    assert found - {name for names in fits.values() for name in names} == set()
    assert [pattern for pattern, names in fits.items() if not names] == []


@pytest.mark.skipif(
    not torch.__version__.startswith(LISTED_FOR),
    reason=f"the functions are listed for torch {LISTED_FOR}",
)
def test_every_function_that_is_exchanged_exists_and_has_the_words() -> None:
    for row in predict.python_branches():
        assert row["followed"] in ("exchange", "same", "no", "no_operator")
        assert ("exchange" in row) == (row["followed"] == "exchange")
        changes = []
        for name in row.get("exchange", ()):
            function = as_mac._find(name)
            assert function is not None, name
            changes.append(as_mac._exchanged(function.__code__) != function.__code__)
        assert any(changes) == bool(changes), row["subject"]


def test_the_page_lists_every_subject() -> None:
    page = " ".join(Path(__file__).parents[3].joinpath("docs/preflight.md").read_text().split())
    for row in predict.python_branches():
        if row["followed"] != "no_operator":
            assert row["subject"] in page
