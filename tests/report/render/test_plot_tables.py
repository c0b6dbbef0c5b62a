"""The numbers of a plot as a table and in words."""

from __future__ import annotations

from metalassay.report.model import NO_VALUE, Plot, Point, Roofline, Series
from metalassay.report.render import plot_tables


def plot(*series: Series, rooflines: tuple[Roofline, ...] = ()) -> Plot:
    return Plot("Is it so?", "batch size", "samples/s", series, rooflines=rooflines)


def test_the_table_has_batch_sizes_in_full_and_numbers_with_three_digits() -> None:
    table = plot_tables.data_table(
        plot(Series("M4", (Point(1024, 1234.5, 1200, None),), projected=True))
    )
    assert table.head == ("series", "batch size", "samples/s", "interval")
    assert table.rows == (("M4 (projected)", "1,024", "1,230", f"1,200 {NO_VALUE} ?"),)


def test_points_with_a_label_get_a_column_for_it() -> None:
    table = plot_tables.data_table(plot(Series("M4", (Point(1.5, 2, label="two"), Point(3, 4)))))
    assert table.head[-1] == "what"
    assert [row[1:] for row in table.rows] == [
        ("1.50", "2.00", NO_VALUE, "two"),
        ("3", "4.00", NO_VALUE, NO_VALUE),
    ]


def test_rooflines_are_notes_of_the_table() -> None:
    table = plot_tables.data_table(plot(rooflines=(Roofline("measured", 2000.0, 100.0),)))
    assert table.notes == ("Roofline, measured: 2,000 GFLOP/s, 100 GB/s.",)


def test_the_description_names_the_first_points_and_counts_the_others() -> None:
    points = tuple(Point(x, x) for x in range(1, 11))
    text = plot_tables.description(plot(Series("M4", points, projected=True), Series("M5", ())))
    assert text.startswith("samples/s against batch size. M4 (projected, not measured): 1.00 at 1;")
    assert "8.00 at 8; and 2 more, in the table below. M5: no points." in text
