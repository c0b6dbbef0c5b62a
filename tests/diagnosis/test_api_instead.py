"""The smallest change of the user's own call."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import api_instead


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("Trainer(model, tokenizer=tok, args=a)", "write new=tok instead of tokenizer=tok"),
        ("Trainer(tokenizer=load('x'))", "write new= instead of tokenizer="),
        ("no call", "write new= instead of tokenizer="),
    ],
)
def test_a_plain_value_is_kept(text: str, change: str) -> None:
    assert api_instead.write("tokenizer", "new", text) == change
