"""Reset accelerate's process-wide state, so that tests do not depend on the tests before them."""

from __future__ import annotations

import sys

STATES = ("GradientState", "AcceleratorState", "PartialState")


def reset(*names: str) -> None:
    """Clear accelerate's shared states, all of ``STATES`` unless ``names`` are given.

    Works with every release of accelerate: their own ``_reset_state`` is younger than the states. If
    accelerate has not been imported, there is nothing to clear and it is not imported.
    """
    module = sys.modules.get("accelerate.state")
    for name in names or STATES:
        if hasattr(module, name):
            getattr(module, name)._shared_state.clear()
