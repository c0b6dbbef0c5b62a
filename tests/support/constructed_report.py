"""A report with every kind of content, written by hand: no figure in it was measured."""

from __future__ import annotations

from metalassay.report.model import (
    NO_VALUE,
    NOT_MEASURED,
    BugRow,
    Cell,
    Column,
    CompatTable,
    Evidence,
    Hint,
    Plot,
    Point,
    Report,
    Roofline,
    Section,
    Series,
    Table,
)

_FAMILIES = ("accelerate-1", "boundary-0", "edge-transformers-4", "newest")
_MACHINES = ("Apple M4 (10-core GPU), invented", "Apple M4 Pro (20-core GPU), invented")


def everything(add: str = "", sets: int = 30, bugs: int = 12) -> Report:
    """Return a report with every kind of section; ``add`` is appended to every text in it."""
    return Report(
        summary_line=f"{sets} version sets, {bugs} known bugs: 2 RED, many fine.{add}",
        compat=compat(add, sets, bugs),
        benchmarks=(_benchmarks(add),),
        comparison=_comparison(add),
        conditions=_conditions(add),
        warnings=(f"reports/broken.json: truncated{add}",),
        method=(f"Every figure is a median of rounds.{add}",),
        commands=((f"nox -s bench{add}", f"measures{add}"), ("metalassay report", "this page")),
        headline=(
            f"{sets} version sets were tried on two invented machines.{add}",
            f"Two cells are red.{add}",
            f"The second machine trains 1.9 times as fast as the first.{add}",
        ),
        sections=(
            Section(
                "throughput",
                f"Throughput by batch size{add}",
                (f"Bars are quartiles.{add}",),
                (throughput(add), _many_lines(add)),
            ),
            Section(
                "scaling",
                f"Scaling against the roofline{add}",
                plots=(roofline(add),),
                tables=(_conditions(add),),
            ),
            Section(
                "projections",
                f"Projected: Apple M4 Max{add}",
                (f"Computed from FLOP and bytes per sample and from published figures.{add}",),
                (_projected(add),),
                (_benchmarks(add),),
                projected=True,
            ),
            Section("training", f"Training runs{add}", hint=Hint(f"No log.{add}", f"train{add}")),
        ),
    )


def compat(add: str = "", sets: int = 30, bugs: int = 12) -> CompatTable:
    """Return a table in which each bug was tested in at most about a fifth of the sets.

    Some tests print the same in several sets, as real ones do.
    """
    columns = tuple(_column(index, add) for index in range(sets))
    return CompatTable(
        caption=f"Known bugs by version set, on an invented machine{add}",
        fact_names=("accelerate", "torch", "platform"),
        columns=columns,
        rows=tuple(_bug(number, columns, add) for number in range(bugs)),
        how_to_read=(f"A column is one set of versions.{add}", f"RED: it is news.{add}"),
        notes=(f"A note on the table.{add}",),
    )


def _column(index: int, add: str) -> Column:
    name = f"{_FAMILIES[index % len(_FAMILIES)]}.{index}.0{add}"
    return Column(
        id=name,
        state="not installable" if index == 3 else "",
        facts=(f"1.{index}.0{add}", f"2.13.0{add}", f"Linux x86_64{add}"),
        reason=f"both sides of a bound{add}",
        command=f"pytest compat --set {name}",
        seconds="12.3 s",
        versions=", ".join(f"package-{n} 1.{index}.{n}" for n in range(10)) + add,
        file=f"reports/compat/{name}.json",
    )


def _bug(number: int, columns: tuple[Column, ...], add: str) -> BugRow:
    return BugRow(
        id=f"library-does-something-wrong-{number}{add}",
        title=f"A loader that yields nothing ends the training without a word, number {number}{add}",
        link=f"https://example.org/issues/{number}?{add}",
        where=f"accelerate >=1.8.0,<1.{number}{add}",
        fixes=(f"upgrade: pip install 'accelerate>=1.9'{add}", f"leave it{add}"),
        cells=tuple(_cell(number, index, column, add) for index, column in enumerate(columns)),
    )


def _cell(number: int, index: int, column: Column, add: str) -> Cell:
    if column.state:
        return Cell("not installable", "absent", f"Cannot be installed.{add}", f"A conflict.{add}")
    if (number, index) in ((0, 0), (1, 4)):
        runs = _runs(number, f"{index}{add}", "failed", add)
        return Cell(f"RED: unexplained{add}", "red", f"Nobody knows.{add}", f"because{add}", runs)
    kind = (number + index) % 10
    if number % 2 and (number - index) % len(_FAMILIES):
        kind = 9  # every second bug is tested in one family only
    if kind == 0:
        runs = _runs(number, f"{index % 30}{add}", "xfailed", add)
        return Cell("broken", "broken", f"It fails as known.{add}", "", runs)
    if kind == 1:
        runs = _runs(number, "", "passed", add)
        return Cell("fine", "fine", f"The test passed.{add}", "", runs)
    if kind == 2 and number % 3 == 0:
        why = f"masked by library-does-something-else, which fails first{add}"
        return Cell(f"not tested: {why}", "untested", f"It did not run.{add}", why)
    return Cell("not tested: not in this run", "untested", "It did not run.", "not in this run")


def _runs(number: int, text: str, outcome: str, add: str) -> tuple[Evidence, ...]:
    line = f"E   UnboundLocalError: cannot access local variable 'current_batch', bug {number}, "
    printed = "\n".join([line + text, *(f"    frame {n} of {text}" for n in range(30))])
    return tuple(
        Evidence(
            test=f"compat/test_loaders.py::test_an_empty_loader_yields_nothing[{kind}-{number}]{add}",
            upstream="stock",
            outcome=outcome,
            seconds="0.25 s",
            symptom=f"empty{add}",
            text=printed if text and kind == "stock" else "",
        )
        for kind in ("stock", "patched", "workers", "resumed")
    )


def _benchmarks(add: str) -> Table:
    return Table(
        caption=f"{_MACHINES[0]}{add}",
        head=("workload", "batch", "median items/s", "quartiles"),
        rows=(
            (f"transit-cnn{add}", "8", "2,850 samples/s", f"2,840 {NO_VALUE} 2,860"),
            (f"gpt-tiny{add}", "64", "12.3 tokens/s", f"12.1 {NO_VALUE} 12.4"),
            ("gpt-small", "512", "refused: faster than the chip can be", NO_VALUE),
        ),
        numeric=(False, True, True, True),
        notes=(f"A note on the figures.{add}",),
    )


def _comparison(add: str) -> Table:
    return Table(
        caption=f"M4 vs M4 Pro, both invented{add}",
        head=("", *_MACHINES, "M4 Pro / M4"),
        rows=(
            ("training, samples/s", "2,850", "5,415.5", "1.90 [1.85, 1.95]"),
            (f"maximum batch{add}", NOT_MEASURED, "1,024", NO_VALUE),
        ),
        numeric=(False, True, True, True),
        notes=(f"Invented.{add}",),
    )


def _conditions(add: str) -> Table:
    return Table(
        caption=f"Conditions{add}",
        head=("condition", *_MACHINES),
        rows=(
            (f"power mode{add}", f"low{add}", f"automatic{add}"),
            ("torch", "2.13.0", "2.13.0"),
        ),
        numeric=(False, False, False),
        marked=frozenset({(0, 1), (0, 2)}),
    )


def throughput(add: str = "") -> Plot:
    """Return a plot of intervals by batch size, two machines."""
    return Plot(
        title=f"How fast does transit-cnn train, by batch size?{add}",
        x_label=f"batch size, samples{add}",
        y_label=f"samples/s{add}",
        series=tuple(
            Series(
                f"{machine}{add}",
                tuple(
                    Point(b, rate * b**0.7, 0.9 * rate * b**0.7, 1.08 * rate * b**0.7)
                    for b in (1, 8, 64, 512)
                ),
            )
            for machine, rate in zip(_MACHINES, (100, 190), strict=True)
        ),
        x_log=True,
        note=f"Bars: quartiles of the rounds.{add}",
    )


def _many_lines(add: str) -> Plot:
    """Return six lines that end within a few per cent of each other."""
    return Plot(
        title=f"Does the number of threads matter?{add}",
        x_label="threads",
        y_label="tokens/s",
        series=tuple(
            Series(
                f"setting {n}, bfloat16{add}",
                tuple(Point(x, 40 * x + n, 38 * x, 41 * x + n) for x in (1, 2, 4, 8)),
            )
            for n in range(6)
        ),
    )


def roofline(add: str = "") -> Plot:
    """Return a roofline plot with two rooflines and three workloads."""
    return Plot(
        title=f"How close does the M4 come to its roofline on cpu?{add}",
        x_label="arithmetic intensity, FLOP/byte",
        y_label="GFLOP/s",
        series=tuple(
            Series(
                f"{name}{add}",
                tuple(
                    Point(
                        x * b**0.5, y * b**0.3, label=f"{name}{add}, batch {b} (cpu): a point{add}"
                    )
                    for b in (1, 8, 64)
                ),
                line=False,
            )
            for name, x, y in (
                ("transit-cnn training", 2.0, 20.0),
                ("gpt-tiny training", 9.0, 90.0),
                ("gpt-tiny inference", 0.6, 11.0),
            )
        ),
        x_log=True,
        y_log=True,
        rooflines=(
            Roofline(f"measured peaks{add}", 900.0, 60.0),
            Roofline(f"published{add}", 4000.0, 120.0),
        ),
        note=f"Points are those of the newest run.{add}",
    )


def _projected(add: str) -> Plot:
    points = tuple(Point(b, 300.0 * b, 220.0 * b, 420.0 * b) for b in (1, 8, 64))
    measured = tuple(Point(b, 150.0 * b, 140.0 * b, 158.0 * b) for b in (1, 8, 64))
    return Plot(
        title=f"How fast would it be?{add}",
        x_label="batch size, samples",
        y_label="samples/s",
        series=(
            Series(f"M4 Max{add}", points, projected=True),
            Series(f"M4, invented{add}", measured),
        ),
        x_log=True,
        y_log=True,
    )
