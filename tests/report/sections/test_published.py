"""Figures that others published: labelled as such, with the limit of the chip beside them."""

from __future__ import annotations

from metalassay.machine import chips, published
from metalassay.machine.chips import Chip
from metalassay.report.sections.published import section


def m4_pro() -> Chip:
    return next(
        chip for chip in chips.load() if (chip.name, chip.gpu_cores) == ("Apple M4 Pro", 20)
    )


def test_every_figure_of_a_chip_is_a_row_with_its_source() -> None:
    result = section([m4_pro(), None, m4_pro()])
    assert result is not None
    assert "None of these figures was measured by us" in result.sentences[0]
    (table,) = result.tables
    figures = published.of(m4_pro())
    assert sorted(row[-1] for row in table.rows) == sorted(figure.source for figure in figures)
    assert all(row[0].startswith("Apple M4 Pro") for row in table.rows)


def test_a_bandwidth_has_the_limit_of_the_memory_beside_it_and_power_has_none() -> None:
    result = section([m4_pro()])
    assert result is not None
    limits = {row[1].partition(",")[0]: row[3] for row in result.tables[0].rows}
    assert limits["memory bandwidth"] == "273 GB/s"
    assert limits["power"] == "\N{EN DASH}"


def test_without_a_known_chip_there_is_no_section() -> None:
    assert section([]) is None
    assert section([None]) is None
