"""Measured peaks and watts against the limits of the chip and against published figures."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import LINUX, M4, M4_PRO, find_chip, measurement

from metalassay import report
from metalassay.report.model import Roofline
from metalassay.report.render import markdown
from metalassay.report.sections import plausibility
from metalassay.results.load import Loaded


def doubts(machine: Any = M4, **changes: Any) -> list[tuple[bool, str]]:
    one = measurement(machine=machine, **changes)
    return [(each.refused, each.sentence) for each in plausibility.doubts(one, find_chip(machine))]


@pytest.mark.parametrize(
    "peaks",
    [
        (2900.0, 100.0),
        (1440.0, 34.5),  # just within half of the least: 2.88 TFLOP/s and 68.8 GB/s
        (4590.0, 123.0),  # just within the limits: 4 TFLOP/s + 15 %, 120 GB/s + 3 %
    ],
)
def test_peaks_like_the_published_ones_raise_no_doubt(peaks: tuple[float, float]) -> None:
    assert doubts(measured_peak=peaks) == []


def test_a_peak_above_the_limits_of_the_chip_is_refused_and_not_used() -> None:
    assert doubts(measured_peak=(2900.0, 130.0)) == [
        (True, "refused: a triad at 130 GB/s, but the memory has 120 GB/s (published)")
    ]
    ((refused, sentence),) = doubts(measured_peak=(4700.0, 100.0))
    assert refused
    assert "4.70 TFLOP/s, but the chip has 4 TFLOP/s in float32 (estimate)" in sentence
    for peaks in ((2900.0, 130.0), (4700.0, 100.0), (0.0, 100.0), None):
        one = measurement(measured_peak=peaks, compulsory_bytes=10_000_000)
        assert plausibility.roofline(one, find_chip(M4)) is None
        text = markdown.render(report.build(Loaded(measurements=(one,)), find_chip))
        assert "of roofline)" not in text
        assert "1,000 samples/s" in text  # the workload's own time stands


def test_a_peak_far_below_the_published_ones_is_noted_with_their_source() -> None:
    ((refused, sentence),) = doubts(measured_peak=(2900.0, 30.0))
    assert not refused
    assert sentence.startswith(
        "a triad at 30.0 GB/s is far from the published figure 68.8 GB/s (torch"
    )
    assert "https://github.com/TristanBilot/mlx-benchmark" in sentence
    ((refused, sentence),) = doubts(measured_peak=(1400.0, 100.0))
    assert not refused
    assert "the published figure 2.88 TFLOP/s" in sentence
    one = measurement(measured_peak=(1400.0, 100.0))
    assert plausibility.roofline(one, find_chip(M4)) == Roofline("measured", 1400.0, 100.0)


def test_a_cpu_is_compared_with_figures_of_cpus() -> None:
    # STREAM on the CPU of an M4: 103 GB/s. Of its matrix products there is no figure.
    assert doubts(device="cpu", measured_peak=(1.0, 60.0)) == []
    ((_, sentence),) = doubts(device="cpu", measured_peak=(1.0, 50.0))
    assert "103 GB/s" in sentence


def test_watts_are_doubtful_above_the_published_ones_and_not_below() -> None:
    gpu = {"watts_from": "GPU, modelled, zeus-apple-silicon"}
    assert doubts(M4_PRO, watts=39.0, **gpu) == []  # others: 20 W at most
    assert doubts(M4_PRO, watts=1.0, **gpu) == []
    ((refused, sentence),) = doubts(M4_PRO, watts=41.0, **gpu)
    assert not refused
    assert "power (GPU, modelled, zeus-apple-silicon) of 41.0 W is far from" in sentence
    assert "20 W (powermetrics" in sentence
    # Any rail of an M4 against the whole machine at its plug: 31.4 W.
    cores = {"watts_from": "CPU + GPU, modelled, zeus-apple-silicon"}
    assert doubts(watts=62.0, **cores) == []
    assert len(doubts(watts=63.0, **cores)) == 1


def test_an_unknown_chip_or_an_emulated_device_is_not_checked() -> None:
    assert doubts(LINUX, device="cpu", measured_peak=(1e9, 1e9), watts=1e5, watts_from="x") == []
    assert doubts(emulated=True, measured_peak=(1e9, 1e9)) == []
    assert plausibility.roofline(measurement(emulated=True, measured_peak=(1.0, 1.0)), None) is None


def test_a_doubt_is_noted_once_below_the_benchmarks() -> None:
    ones = tuple(measurement(batch_size=n, measured_peak=(2900.0, 30.0)) for n in (32, 64))
    text = markdown.render(report.build(Loaded(measurements=ones), find_chip))
    assert text.count("is far from the published figure 68.8 GB/s") == 1
