"""What terminals, web pages and loggers add to a traceback is removed."""

from __future__ import annotations

import pytest
from explain_examples import EIGHT, FAMOUS, found

from metalassay.bugs import tracebacks


def test_a_very_long_line_is_split() -> None:
    lines = tracebacks.clean("Trainer" * 10_000 + FAMOUS).splitlines()
    assert max(len(line) for line in lines) <= 4_000
    assert "".join(lines).endswith(FAMOUS)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("&lt;class &#x27;str&#39;&gt; &amp;amp;", "<class 'str'> &amp;"),
        ("one&nbsp;two<br/>", "one two"),
        ("a &foo; b < c <class 'str'>", "a &foo; b < c <class 'str'>"),
        ("> quoted\n> > twice\nplain", "quoted\ntwice\nplain"),
        ("a > b\n", "a > b\n"),
        ("left │\n│ right │ │\n", "left\n right\n"),
        (f"a{' ' * 500}b", f"a{' ' * 60}b"),
        ("\x1b[1mbold\x1b[0m &quot;", 'bold "'),
    ],
)
def test_what_pages_mail_and_boxes_add_is_removed(text: str, plain: str) -> None:
    assert tracebacks.clean(text) == plain


def test_a_traceback_on_one_line_gets_its_lines_back() -> None:
    flat = (
        'E: Traceback (most recent call last): File "a.py", line 1, in f g() File "b.py", line 2, in g '
        "lib.OneError: no such: thing During handling of the above exception, another exception "
        'occurred: Traceback (most recent call last): File "c.py", line 3, in h KeyError: 1'
    )
    assert tracebacks.clean(flat).splitlines() == [
        "E: Traceback (most recent call last):",
        '  File "a.py", line 1, in f g()',
        '  File "b.py", line 2, in g',
        "lib.OneError: no such: thing",
        "During handling of the above exception, another exception occurred:",
        "Traceback (most recent call last):",
        '  File "c.py", line 3, in h',
        "KeyError: 1",
    ]


@pytest.mark.parametrize(
    "text",
    [
        FAMOUS.replace("'", "&#39;"),
        FAMOUS.replace("'", "`"),
        FAMOUS.replace("'", ""),
        FAMOUS.replace("'", '"'),
        "\n".join(f"> {part}" for part in FAMOUS.split(" where ")).replace("> it", "> where it"),
    ],
    ids=["entities", "backticks", "none", "double", "mail"],
)
def test_other_quotation_marks_do_not_hide_a_message(text: str) -> None:
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}
