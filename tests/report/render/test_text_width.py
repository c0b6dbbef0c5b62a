"""Estimated widths: texts are wrapped and cut to them, and say where they were cut."""

from __future__ import annotations

import pytest

from metalassay.report.render import text_width


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_wrapped_text_loses_no_word_without_an_ellipsis(length: int) -> None:
    text = " ".join(f"word{n}" for n in range(length))
    lines = text_width.wrapped(text, 20, 300, 4)
    assert len(lines) <= 4
    assert all(text_width.width(line, 20) <= 300 for line in lines)
    joined = " ".join(lines)
    assert joined == text or text.startswith(joined.removesuffix("\N{HORIZONTAL ELLIPSIS}"))
    assert joined == text or joined.endswith("\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize("text", ["iii", "WWW", "a longer text", "\u5b57\u5b57", "\N{EN DASH}"])
def test_a_text_is_cut_exactly_where_it_does_not_fit(text: str) -> None:
    fits = text_width.width(text, 13)
    assert text_width.shortened(text, 13, fits) == text
    cut = text_width.shortened(text, 13, fits - 0.1)
    assert cut.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert len(cut) <= len(text)


def test_widths_grow_with_the_font_size_and_with_wide_letters() -> None:
    assert text_width.width("abc", 26) == pytest.approx(2 * text_width.width("abc", 13))
    assert text_width.width("i", 13) < text_width.width("a", 13) < text_width.width("W", 13)
