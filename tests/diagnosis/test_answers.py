"""What a source hands over is checked where it is made."""

from __future__ import annotations

import pytest

from metalassay.diagnosis.answers import Found


@pytest.mark.parametrize(("source", "applies"), [("guess", "yes"), ("limit", "perhaps")])
def test_an_unknown_source_or_word_is_refused(source: str, applies: str) -> None:
    with pytest.raises(ValueError, match="x: source"):
        Found(source, "x", "t", applies, "", "", 0, "", (), (), "", "")
