"""Which memory layout torch.compile gives convolutions. Each test asserts the correct behaviour; none needs a Mac.

Inductor is asked, nothing is compiled: that MPS is slow in the layout is upstream's measurement, not ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from metalassay.environment import versions

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)

CHANNELS_LAST = "torch-compile-mps-channels-last"
FAST_SINCE = "2.15"
"""The first torch whose kernels for MPS read channels_last in the backward pass: see the comment in torch.toml."""

pytestmark = pytest.mark.slow  # importing Inductor takes seconds


@pytest.mark.bug(CHANNELS_LAST, symptom="laid-out")
def test_inductor_leaves_convolutions_that_train_on_mps_as_they_are(upstream: str) -> None:
    import inductor_layouts
    import torch

    if Version(torch.__version__) >= Version(FAST_SINCE):
        pytest.skip(
            f"since torch {FAST_SINCE} the backward pass on MPS reads channels_last; how fast, only a Mac shows"
        )
    chosen = inductor_layouts.compiles_for("mps") and inductor_layouts.channels_last("mps")
    assert not chosen, "Inductor lays convolutions that train on MPS out as channels_last"


# The workaround.
@pytest.mark.bug(CHANNELS_LAST)
def test_the_variable_leaves_convolutions_that_train_on_mps_as_they_are(upstream: str) -> None:
    assert asked("mps", TORCHINDUCTOR_LAYOUT_OPTIMIZATION="0") == "as it is"


# Controls: what the decision depends on, so that a graph which nothing would change proves nothing.
@pytest.mark.bug(CHANNELS_LAST)
def test_inductor_lays_convolutions_that_train_on_the_cpu_out_as_channels_last(
    upstream: str,
) -> None:
    import inductor_layouts

    assert inductor_layouts.channels_last("cpu")


@pytest.mark.bug(CHANNELS_LAST)
def test_inductor_leaves_convolutions_of_at_most_64_channels_on_mps_as_they_are(
    upstream: str,
) -> None:
    import inductor_layouts

    assert not inductor_layouts.channels_last("mps", channels=64)


def asked(device: str, **variables: str) -> str:
    """Return what a new process is told, since Inductor reads its variables when it is imported."""
    script = Path(__file__).with_name("inductor_layouts.py")
    done = subprocess.run(
        [sys.executable, str(script), device],
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout.strip()
