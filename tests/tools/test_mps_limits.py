"""What is read from the strings of a library."""

from __future__ import annotations

import zipfile
from pathlib import Path

import mps_limits
import pytest

from metalassay.errors import UserError

TEXT = "ConvTranspose 3D with BF16 or FP16 types is not supported on MPS, at all"


def test_an_error_is_read_to_its_end(tmp_path: Path) -> None:
    wheel = tmp_path / "torch.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(mps_limits._LIBRARY, b"\0before\0" + TEXT.encode() + b"\0after\0")
    assert f'"transposed-3d-half": "{TEXT}"' in mps_limits.content({"2.8.0": wheel})


def test_a_text_inside_another_one_is_none() -> None:
    assert mps_limits.errors(b"\0it said: " + TEXT.encode() + b"\0") == {}


def test_a_wheel_without_the_library_is_an_error(tmp_path: Path) -> None:
    wheel = tmp_path / "torch.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("torch/version.py", "")
    with pytest.raises(UserError, match=r"torch\.whl has no torch/lib"):
        mps_limits.content({"2.8.0": wheel})
