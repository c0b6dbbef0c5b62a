"""Checked access to a document: each reader returns its type, or an error with the place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from metalassay.fields import Field, FieldError, first_line, one_line, printable

DOCUMENT = Field({"a": {"b": [1, "x"]}, "none": None})


def test_a_place_is_written_as_in_javascript() -> None:
    elements = list(DOCUMENT.get("a").get("b").each())
    assert [element.place for element in elements] == ["a.b[0]", "a.b[1]"]
    assert [element.value for element in elements] == [1, "x"]


def test_a_missing_member_is_an_error_or_null() -> None:
    with pytest.raises(FieldError, match=r"^a\.c is missing$"):
        DOCUMENT.get("a").get("c")
    assert DOCUMENT.get("a").find("c") == Field(None, "a.c")
    assert DOCUMENT.find("none").or_none(Field.text) is None
    with pytest.raises(FieldError, match=r"^none: expected an object, found null$"):
        DOCUMENT.get("none").get("x")


@pytest.mark.parametrize(
    ("read", "value", "result"),
    [
        (Field.text, "", ""),
        (Field.name, " two\n words ", "two words"),
        (Field.flag, False, False),
        (Field.whole, 1, 1),
        (Field.moment, "2026-11-21T13:00:00Z", datetime(2026, 11, 21, 13, tzinfo=UTC)),
        (Field.moment, "2026-11-21T13:00:00+01:00", datetime(2026, 11, 21, 12, tzinfo=UTC)),
        (Field.moment, "2026-11-21T13:00:00", datetime(2026, 11, 21, 13, tzinfo=UTC)),
        (Field.texts, {"torch": "2.13.0"}, {"torch": "2.13.0"}),
        (lambda field: field.number(0, 2), 2, 2.0),
        (lambda field: field.one_of(("a", "b")), "b", "b"),
    ],
)
def test_a_value_is_read(read: Callable[[Field], Any], value: object, result: object) -> None:
    assert read(Field(value)) == result


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (Field.text, 1, "x: expected text, found 1"),
        (Field.name, " \n", "x: expected text that is not empty, found"),
        (Field.flag, 1, "x: expected true or false, found 1"),
        (Field.whole, True, "x: expected a whole number, found true"),
        (Field.whole, 0, "x: expected a whole number of at least 1, found 0"),
        (Field.whole, 2**63, "x: expected a whole number of at least 1, found"),
        (Field.moment, "soon", "x: expected a time, as in 2026-"),
        (Field.texts, [], "x: expected an object, found a list"),
        (Field.texts, {"a": 1}, "x.a: expected text, found 1"),
        (lambda field: list(field.each()), {}, "x: expected a list, found an object"),
        (lambda field: field.number(0, 2), float("nan"), "x: expected a number from 0 to 2"),
        (lambda field: field.number(0, 2), True, "x: expected a number, found true"),
        (lambda field: field.one_of(("a", "b")), "c", "x: expected one of 'a', 'b', found 'c'"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_its_place(
    read: Callable[[Field], Any], value: object, message: str
) -> None:
    with pytest.raises(FieldError) as caught:
        read(Field(value, "x"))
    assert str(caught.value).startswith(message)


def test_a_very_long_text_is_cut_short_with_a_note() -> None:
    text = Field("x" * 20_005).text()
    assert text.endswith("x\N{HORIZONTAL ELLIPSIS} (5 more)")
    assert len(text) < 20_050


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("a\x00\u202eb\ud800", "a\ufffd\ufffdb\ufffd"),
    ],
)
def test_printable_text_has_no_colours_and_no_control_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_one_line_has_single_spaces() -> None:
    assert one_line(" a\n\t b ") == "a b"
    assert one_line(3) == "3"


def test_the_first_line_of_an_error_is_that_of_its_message() -> None:
    assert first_line(ValueError("no\nmore")) == "no"
    assert first_line(ValueError()) == ""
