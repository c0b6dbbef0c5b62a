"""The audit: an installed package that differs from the history is noticed."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from api_reader import audit

from metalassay.bugs import api_history


@pytest.mark.slow
def test_the_history_agrees_with_the_accelerate_that_is_installed() -> None:
    version = metadata.version("accelerate")
    if version not in api_history.history("accelerate").releases:
        pytest.skip(f"accelerate {version} is newer than the data")
    counts, differences = audit.compare("accelerate", version, Path(sys.executable))
    assert [each for each in differences if "MpDeviceLoaderWrapper" not in each] == []
    assert int(counts.split()[0]) > 400


@pytest.mark.slow
def test_another_release_than_the_installed_one_differs() -> None:
    installed = metadata.version("accelerate")
    other = "0.34.2" if installed != "0.34.2" else "1.8.0"
    _, differences = audit.compare("accelerate", other, Path(sys.executable))
    assert any("accelerate.accelerator.Accelerator.__init__" in each for each in differences)
