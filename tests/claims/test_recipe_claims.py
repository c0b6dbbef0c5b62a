"""What guide 002's "stable training" does, in a small run of the transit task; docs/recipe.md has the measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not {"torch", "safetensors"} <= versions.installed().keys(),
        reason="the extra train is missing",
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Return the figures of trainings that differ in the recipe alone, on light curves that none has seen."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # steps this small are slower on more, and far slower beside other work
    try:
        return _figures(tmp_path_factory)
    finally:
        torch.set_num_threads(before)


def _figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    return {
        name: _run(tmp_path_factory.mktemp(name), options)
        for name, options in (
            ("default", {}),
            ("guide", {"recipe": "guide", "warm_up": 0.1}),
            ("cosine", {"schedule": "cosine"}),
        )
    }


def _run(folder: Path, options: dict[str, Any]) -> dict[str, float]:
    import torch

    from metalassay.training import recipe_options, schedules
    from metalassay.training.loop import Recipe, train
    from metalassay.training.transit import calibration
    from metalassay.training.transit import task as transit

    chosen = recipe_options.resolve(options, transit.WEIGHT_DECAY)
    smoothing, mixup = chosen.pop("label_smoothing"), chosen.pop("mixup")
    sets = transit.make(1, 1536)
    task = transit.task("guide", sets, 1536, 16, 1, 1, None, smoothing, mixup)
    momenta = transit.MOMENTA if chosen["schedule"] == schedules.ONE_CYCLE else None
    recipe = Recipe(400, transit.PEAK_RATES["guide"], momenta=momenta, seed=1, **chosen)
    train(task, recipe, folder, torch.device("cpu"), report_every=400)
    unseen = transit.make(99, 1024)["train"]
    with torch.inference_mode():
        logits = transit.scores(task.model.eval(), unseen)
    label = unseen.planet.numpy()
    return {
        "auc": transit.auc(logits, label),
        "error": calibration.measure(logits, label).error,
    }


def test_training_is_as_stable_without_the_configuration_and_better_calibrated(
    trained: dict[str, dict[str, float]],
) -> None:
    # A loss or weight that is not finite ends a training: both have come to their end.
    assert trained["default"]["auc"] > 0.95
    assert abs(trained["guide"]["auc"] - trained["default"]["auc"]) < 0.02
    assert trained["guide"]["error"] > trained["default"]["error"] + 0.02


def test_a_cosine_converges_as_well_as_one_cycle(trained: dict[str, dict[str, float]]) -> None:
    assert abs(trained["cosine"]["auc"] - trained["default"]["auc"]) < 0.02
