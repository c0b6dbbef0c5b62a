"""The one line of doubt: marks of the run by their kind, marks of single figures by their number."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import BASE

from metalassay.report.sections import doubt

CALM = replace(BASE, flags=(), seconds=(1.0,) * 6)


def test_a_clean_run_has_no_line() -> None:
    assert doubt.line([CALM, CALM]) == ""


def test_marks_of_the_run_are_named_once_and_those_of_figures_counted() -> None:
    busy = ("busy: a load of 9.0 on 2 processors",)
    drifted = replace(CALM, flags=(*busy, "drifted: the last third took +12%"))
    unsteady = replace(CALM, flags=(*busy, "not steady after its warm-up"))
    spread = replace(CALM, seconds=(1.0, 1.0, 2.0, 3.0, 3.0, 3.0))
    said = doubt.line([drifted, unsteady, spread])
    assert said == "Doubtful: busy; 1 figure drifted; 2 figures unsteady"


def test_an_emulated_run_has_no_figure_to_doubt() -> None:
    assert doubt.line([replace(CALM, flags=("busy: x",), emulated=True)]) == ""


def test_the_spread_needs_enough_rounds() -> None:
    assert doubt.spread((1.0, 9.0, 9.0, 1.0)) == 0
    assert doubt.spread((1.0, 1.0, 2.0, 3.0, 3.0)) == pytest.approx(1.0)
