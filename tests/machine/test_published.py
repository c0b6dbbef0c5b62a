"""Published figures: each has a source, and agrees with the time from which it was derived."""

from __future__ import annotations

import re

import pytest
from hand_made import M4, M4_PRO, find_chip

from metalassay.machine import chips, published
from metalassay.machine.hardware import Hardware

ROW = """
[sources]
"here" = { url = "https://example.org/x", says = "a table" }
[[figure]]
id = "one"
chip = "Apple M4"
what = "bandwidth"
on = "gpu"
work = "stream"
value = 100
with = "torch"
how = "copy"
source = "here"
"""


def test_every_figure_belongs_to_a_known_chip_and_has_a_source() -> None:
    known = {(chip.name, chip.gpu_cores) for chip in chips.load()}
    names = {chip.name for chip in chips.load()}
    figures = published.load()
    assert len({figure.id for figure in figures}) == len(figures)
    for figure in figures:
        assert figure.chip in names
        assert figure.gpu_cores is None or (figure.chip, figure.gpu_cores) in known
        assert re.fullmatch(r"https://[^\s]+", figure.source)
        assert figure.says
        assert figure.how
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", figure.id)


def test_no_figure_exceeds_the_limit_of_its_chip() -> None:
    for chip in chips.load():
        for figure in published.of(chip):
            if figure.what == "bandwidth" and chip.memory_bandwidth:
                assert figure.high <= chip.memory_bandwidth.value
            if figure.dtype == "float32" and chip.fp32_tflops:
                assert figure.high <= chip.fp32_tflops.value


def test_a_row_becomes_a_figure_with_its_source() -> None:
    (figure,) = published.parse(ROW)
    assert (figure.low, figure.high, figure.text()) == (100.0, 100.0, "100 GB/s")
    assert (figure.source, figure.says) == ("https://example.org/x", "a table")
    (span,) = published.parse(ROW.replace("100", "[90, 110]"))
    assert span.text() == "90 to 110 GB/s"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 100", "value = 0", "not a positive number"),
        ("value = 100", "value = [2, 1]", "not a positive number"),
        ('what = "bandwidth"', 'what = "speed"', "expected one of"),
        ('on = "gpu"', 'on = "disk"', "expected one of"),
        ('work = "stream"', 'work = "play"', "expected one of"),
        ('what = "bandwidth"', 'what = "arithmetic"', "must name a dtype"),
        ('source = "here"', 'source = "nowhere"', "nowhere"),
        ('how = "copy"', "", "how"),
        # 1e9 bytes in 8 ms are 125 GB/s
        ("value = 100", "value = 100\nmilliseconds = 8\nbytes = 1_000_000_000", "implies 125"),
    ],
)
def test_an_inconsistent_row_is_refused_with_its_id(old: str, new: str, message: str) -> None:
    with pytest.raises(
        (KeyError, ValueError), match=r"published.toml: one: .*" + re.escape(message)
    ):
        published.parse(ROW.replace(old, new))


def test_a_time_that_agrees_with_its_value_is_accepted() -> None:
    published.parse(ROW.replace("value = 100", "value = 100\nmilliseconds = 10\nbytes = 1e9"))


def test_a_machine_gets_the_figures_for_its_chip_and_gpu_cores() -> None:
    def ids(machine: Hardware) -> set[str]:
        return {figure.id for figure in published.of(machine)}

    assert {"m4-softmax", "m4-stream-gpu"} <= ids(M4)
    assert "m4-pro-20-softmax" in ids(M4_PRO)
    assert not {"m4-pro-16-softmax", "m4-softmax"} & ids(M4_PRO)


def test_a_virtual_machine_gets_no_figures() -> None:
    from dataclasses import replace

    assert published.of(replace(M4, virtual=True)) == []


def test_ratios_compare_the_same_work_and_invert_times() -> None:
    one, other = find_chip(M4), find_chip(M4_PRO)
    assert one is not None
    assert other is not None
    ratios = published.ratios(published.of(one), published.of(other))
    assert ratios["bandwidth-mlx"] == pytest.approx(243.7 / 101)
    assert ratios["small-conv1d"] == pytest.approx(0.54 / 0.18)
    assert "conv1d-cpu" not in ratios
    assert min(ratios.values()) == pytest.approx(4.25 / 2.14)
    assert max(ratios.values()) == pytest.approx(3.0)
