"""Loading a model inside accelerate's init_empty_weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalassay.environment import versions

if not {"accelerate", "torch", "transformers"} <= versions.installed().keys():
    pytest.skip("accelerate, torch or transformers is not installed", allow_module_level=True)

from metalassay.testing.tiny_trainer import gpt2

pytestmark = pytest.mark.slow


@pytest.mark.bug("accelerate-init-empty-weights-transformers5", symptom="refused")
def test_a_saved_model_loads_inside_init_empty_weights(upstream: str, tmp_path: Path) -> None:
    from accelerate import init_empty_weights

    model = gpt2()
    model.save_pretrained(tmp_path)
    with init_empty_weights():
        type(model).from_pretrained(tmp_path)
