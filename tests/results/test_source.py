"""The name of a result file to print, and the size that one may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metalassay.fields import FieldError
from metalassay.results import source


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a/x.json", "a/x.json"),
        (b"two\nlines  here.json", "two lines here.json"),
        ("größe.json".encode(), "größe.json"),
        (b"latin-\xe9.json", "latin-\ufffd.json"),
        (b"\x1b[31mred.json", "red.json"),
    ],
)
def test_a_path_is_shown_on_one_line_and_in_utf_8(name: bytes, shown: str) -> None:
    assert source.shown(Path(os.fsdecode(name))) == shown


def test_a_file_larger_than_any_result_is_refused() -> None:
    source.check_size(source.LARGEST)
    with pytest.raises(FieldError, match=r"too large for a result \(65 MB\)"):
        source.check_size(65 * 2**20)
