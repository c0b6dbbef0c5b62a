"""Two or more machines in the six figures that people compare before they choose one: one table.

Training and inference speed, the largest batch, memory bandwidth, power, and samples per joule, all of one
workload with one dtype on one device. Where a figure is missing, the cell has the command that measures it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from metalassay.machine.chips import PUBLISHED, Chip
from metalassay.machine.hardware import Hardware
from metalassay.report.machines import identity
from metalassay.report.model import NOT_MEASURED, REHEARSAL, Table, significant
from metalassay.report.sections import plausibility
from metalassay.report.sections.benchmarks import MODES, WORKLOADS, bandwidth, workload_order
from metalassay.report.sections.comparison import (
    ON_MODELLED,
    ON_REHEARSAL,
    batch_text,
    notes_on_ratios,
    per_watt_text,
    rate_text,
    ratio_text,
    refusal,
    watts_text,
)
from metalassay.report.sections.side_by_side import (
    Compared,
    Ratio,
    Row,
    Side,
    batch_ratios,
    best,
    per_watt_ratios,
    ratios,
    watts_ratios,
)
from metalassay.results.measurement import MLX
from metalassay.results.parse import LargestBatch, Measurement

_EMULATED = " (emulated)"
_LARGEST = "largest batch, training"
_NOTES = (
    "A cell gives the median and, in brackets, the quartiles. In square brackets after a ratio: the 95 % bootstrap "
    "interval over processes; for the largest batch, what the two searches leave open.",
    "Bandwidth: a triad on the same device, run just before the workload. Power and samples per joule: while "
    "the training step ran.",
)
_ON_SINGLE_RUNS = (
    "A ratio without square brackets is one of fewer than five processes per machine, so a small difference may "
    "be due to chance. `--processes 5` gives the interval."
)
_ON_MISSING = (
    "Run the command of a missing figure on the machine at the head of its column, in a checkout of metalassay; "
    "then name the reports folders of all machines to `metalassay report`."
)


@dataclass(frozen=True)
class _Setting:
    """What all six figures have in common; ``device`` as tables name it, as in "mps (emulated)"."""

    workload: str
    dtype: str
    device: str

    @property
    def unit(self) -> str:
        return WORKLOADS.get(self.workload, "samples")

    def possible_on(self, machine: Hardware) -> bool:
        """Return whether a machine may have the device at all: no command gives another system an mps."""
        mac = machine.system == "Darwin"
        return not mac if self.device == "cuda" else mac or not self.device.startswith("mps")

    def bench(self, batch: int | None) -> str:
        """Return the options of a benchmark run of this setting in processes enough for an interval."""
        device = self.device.removesuffix(_EMULATED)
        return " ".join(
            [
                f"-k {shlex.quote(self.workload)}",
                *([f"--batch-size {batch}"] if batch else []),
                *([f"--dtype {self.dtype}"] if self.dtype != "float32" else []),
                # "auto", the default, is mps on a Mac
                *([f"--device {device}"] if device != "mps" else []),
                "--processes 5",
            ]
        )

    def max_batch(self) -> str:
        device = self.device.removesuffix(_EMULATED)
        dtype = f",dtype={self.dtype}" if self.dtype != "float32" else ""
        spec = shlex.quote(f"{self.workload}:train:device={device}{dtype}")
        return f"metalassay max-batch {spec} --save"


@dataclass(frozen=True)
class _Figure:
    """One row: its label, a cell per machine, the ratios over the first, and how to measure it."""

    label: str
    cells: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    commands: tuple[str, ...]


def table(compared: Compared) -> Table | None:
    """Return the six figures; None for fewer than two machines. Ratios are over the first machine."""
    machines = compared.machines
    if len(machines) < 2:
        return None
    setting = _setting(compared)
    if setting is None:
        return None
    figures = list(_figures(compared, setting))
    short = compared.short
    return Table(
        caption=(
            f"{' vs '.join(short)} in six figures: {setting.workload}, {setting.dtype}, {setting.device}"
        ),
        head=("", *compared.names, *(f"{other} / {short[0]}" for other in short[1:])),
        rows=tuple(
            (figure.label, *figure.cells, *map(ratio_text, figure.ratios)) for figure in figures
        ),
        numeric=(False, *[True] * (2 * len(machines) - 1)),
        notes=tuple(dict.fromkeys(_notes(compared, figures, _powered(compared, setting)))),
        commands={
            (number, column): command
            for number, figure in enumerate(figures)
            for column, (cell, command) in enumerate(
                zip(figure.cells, figure.commands, strict=True), 1
            )
            if cell == NOT_MEASURED and setting.possible_on(machines[column - 1])
        },
    )


def _setting(compared: Compared) -> _Setting | None:
    """Return the setting to show: of our first workload, one with a ratio, on a real mps if there is one.

    None where all that was measured is MLX, whose figures have a table of their own.
    """
    ratios_of: dict[_Setting, int] = {}
    for row in compared.rows:
        if any(side and side[0].framework == MLX for side in row.sides):
            continue
        workload, _, _, dtype, device = row.key
        setting = _Setting(workload, dtype, device)
        known = sum(ratio.value is not None for ratio in row.ratios)
        ratios_of[setting] = max(ratios_of.get(setting, 0), known)
    for workload, _, dtype, device in compared.batches:
        ratios_of.setdefault(_Setting(workload, dtype, device), 0)

    def order(setting: _Setting) -> tuple[object, ...]:
        return (
            setting.device.endswith(_EMULATED),
            workload_order(setting.workload),
            -ratios_of[setting],
            setting.device != "mps",
            setting.dtype != "float32",
            setting.dtype,
            setting.device,
        )

    return min(ratios_of, key=order, default=None)


def _figures(compared: Compared, setting: _Setting) -> Iterator[_Figure]:
    training, inference = (_row(compared, setting, mode) for mode in ("train", "infer"))
    shown = training or inference
    batch = shown.key[2] if shown else None
    yield _speed(compared, setting, "train", training, batch)
    yield _speed(compared, setting, "infer", inference, batch)
    yield _largest_batch(compared, setting)
    yield _bandwidth(compared, setting, training, inference)
    yield from _power(compared, setting)


def _row(compared: Compared, setting: _Setting, mode: str) -> Row | None:
    return best(_rows(compared, setting, mode))


def _rows(compared: Compared, setting: _Setting, mode: str) -> list[Row]:
    return [
        row
        for row in compared.rows
        if row.key[:2] == (setting.workload, mode)
        and row.key[3:] == (setting.dtype, setting.device)
    ]


def _speed(
    compared: Compared, setting: _Setting, mode: str, row: Row | None, batch: int | None
) -> _Figure:
    command = f"nox -s bench -- {setting.bench(row.key[2] if row else batch)}"
    sides, of_row = _of(compared, row)
    at = f", batch {row.key[2]}" if row else ""
    return _Figure(
        f"{MODES[mode]}, {row.unit if row else setting.unit}/s{at}",
        tuple(map(rate_text, sides)),
        of_row,
        (command,) * len(sides),
    )


def _of(compared: Compared, row: Row | None) -> tuple[tuple[Side | None, ...], tuple[Ratio, ...]]:
    """Return the sides and the ratios of a row, nothing measured for None."""
    machines = len(compared.machines)
    if row is None:
        return (None,) * machines, (Ratio(None, why="not measured on both"),) * (machines - 1)
    return row.sides, row.ratios


def _largest_batch(compared: Compared, setting: _Setting) -> _Figure:
    key = (setting.workload, "train", setting.dtype, setting.device)
    searches: Sequence[LargestBatch | None] = compared.batches.get(
        key, (None,) * len(compared.machines)
    )
    return _Figure(
        _LARGEST,
        tuple(map(_batch_text, searches)),
        batch_ratios(searches),
        (setting.max_batch(),) * len(searches),
    )


def _batch_text(search: LargestBatch | None) -> str:
    """Return what fitted and what did not; the reason is in the comparison below."""
    if search is None or search.emulated or search.limit is None:
        return batch_text(search)
    return f"{search.largest:,} ({search.limit:,} did not fit)"


def _bandwidth(compared: Compared, setting: _Setting, *rows: Row | None) -> _Figure:
    """Return the triads of the row in which most machines have one."""

    def known(row: Row) -> int:
        return sum(bool(side and side[0].measured_peak) for side in row.sides)

    row = max(filter(None, rows), key=known, default=None)
    sides, _ = _of(compared, row)
    chips = dict(zip(compared.machines, compared.chips, strict=True))
    return _Figure(
        "memory bandwidth, GB/s",
        tuple(map(_triad_text, sides, compared.chips)),
        ratios(sides, lambda one: _triads(one, chips[identity(one.machine)])),
        (f"nox -s bench -- {setting.bench(row.key[2] if row else None)}",) * len(sides),
    )


def _triads(one: Measurement, chip: Chip | None) -> Sequence[float]:
    """Return the bandwidth that each process measured, nothing where one of them is refused."""
    if one.measured_peak is None:
        return ()
    values = one.each_gb_s or (one.measured_peak[1],)
    fastest = replace(one, measured_peak=(one.measured_peak[0], max(values)))
    return values if min(values) > 0 and plausibility.roofline(fastest, chip) else ()


def _triad_text(side: Side | None, chip: Chip | None) -> str:
    if side is None or side[0].measured_peak is None:
        return NOT_MEASURED
    if side[0].emulated:
        return refusal(side)
    values = _triads(side[0], chip)
    if not values:
        return "refused: above the limits of the chip"
    measured, limit = median(values), bandwidth(chip)
    share = f" ({measured / limit:.0%} of {limit:g} published)" if limit else ""
    return f"{significant(measured)}{share}"


def _power_row(compared: Compared, setting: _Setting) -> Row | None:
    """Return the training row in which most machines have watts."""

    def known(row: Row) -> int:
        return sum(bool(side and side[0].watts) for side in row.sides)

    rows = _rows(compared, setting, "train")
    most = max(map(known, rows), default=0)
    return best(row for row in rows if known(row) == most)


def _powered(compared: Compared, setting: _Setting) -> tuple[Side | None, ...]:
    return _of(compared, _power_row(compared, setting))[0]


def _power(compared: Compared, setting: _Setting) -> Iterator[_Figure]:
    row = _power_row(compared, setting)
    sides, nothing = _of(compared, row)
    commands = tuple(
        _power_command(machine, setting.bench(row.key[2] if row else None))
        for machine in compared.machines
    )
    at = f", batch {row.key[2]}" if row else ""
    yield _Figure(
        f"power in training, W{at}",
        tuple(map(_watts_text, sides)),
        watts_ratios(sides) if row else nothing,
        commands,
    )
    yield _Figure(
        f"{row.unit if row else setting.unit} per joule{at}",
        tuple(map(per_watt_text, sides)),
        per_watt_ratios(sides) if row else nothing,
        commands,
    )


def _watts_text(side: Side | None) -> str:
    """Return the watts, and that they are modelled if they are; the rail is in a note."""
    if side is None or side[0].watts is None or side[1].refused:
        return watts_text(side)
    modelled = " (modelled)" if ", modelled, " in side[0].watts_from else ""
    return f"{significant(side[0].watts)}{modelled}"


def _power_command(machine: Hardware, options: str) -> str:
    if machine.system != "Darwin":
        return f"nox -s bench -- {options}"  # RAPL, where the system permits reading it
    return (
        "python -m pip install -e '.[bench,power]' && "
        f"python -m pytest benchmarks --benchmark-autosave {options}"
    )


def _notes(
    compared: Compared, figures: Sequence[_Figure], sides: Sequence[Side | None]
) -> Iterator[str]:
    yield from _NOTES
    # The interval of the largest batch comes from the searches, whatever ran in several processes.
    over_processes = [
        ratio for figure in figures if figure.label != _LARGEST for ratio in figure.ratios
    ]
    if any(ratio.value is not None and ratio.span is None for ratio in over_processes):
        yield _ON_SINGLE_RUNS
    yield from notes_on_ratios(ratio for figure in figures for ratio in figure.ratios)
    rails = dict.fromkeys(
        side[0].watts_from for side in sides if side and side[0].watts and not side[1].refused
    )
    if rails:
        yield f"Power: {' and '.join(rails)}."
    if any(", modelled, " in rail for rail in rails):
        yield ON_MODELLED
    if any(REHEARSAL in cell for figure in figures for cell in figure.cells):
        yield ON_REHEARSAL
    if any(NOT_MEASURED in figure.cells for figure in figures):
        yield _ON_MISSING
    yield from _published(compared)


def _published(compared: Compared) -> Iterator[str]:
    """Yield the bandwidths that the maker states, which are specifications and no measurements."""
    stated = [
        (chip.name, chip.memory_bandwidth.value)
        for chip in dict.fromkeys(compared.chips)
        if chip and chip.memory_bandwidth and chip.memory_bandwidth.kind == PUBLISHED
    ]
    if not stated:
        return
    first, value = stated[0]
    others = (
        f"{name} {other:g} GB/s, {other / value:.2f}x that of {first}" for name, other in stated[1:]
    )
    texts = "; ".join([f"{first} {value:g} GB/s", *others])
    yield f"Published specification of the memory bandwidth, not measured: {texts}."
