"""Resetting accelerate's process-wide state."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metalassay.environment import versions
from metalassay.testing import accelerate_state

needs_accelerate = pytest.mark.skipif(
    not {"accelerate", "torch"} <= versions.installed().keys(),
    reason="accelerate or torch is not installed",
)


@needs_accelerate
def test_a_reset_clears_every_state() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState

    Accelerator(cpu=True, gradient_accumulation_steps=7)
    states = (AcceleratorState, GradientState, PartialState)
    assert all(state._shared_state for state in states)
    accelerate_state.reset()
    assert not any(state._shared_state for state in states)


@needs_accelerate
def test_a_reset_of_one_state_keeps_the_others() -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    Accelerator(cpu=True)
    accelerate_state.reset("GradientState")
    assert not GradientState._shared_state
    assert AcceleratorState._shared_state
    accelerate_state.reset()


def test_a_reset_does_not_import_accelerate() -> None:
    code = (
        "import sys; from metalassay.testing import accelerate_state;"
        "accelerate_state.reset(); print('accelerate' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
