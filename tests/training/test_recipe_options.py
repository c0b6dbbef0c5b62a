"""The options of a recipe: what is given comes first, then the named recipe, then what a training has anyway."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from train_command import run

from metalassay.errors import UserError
from metalassay.training import recipe_options
from metalassay.training.loop import Recipe
from metalassay.training.transit import task as transit


def test_without_an_option_nothing_changes() -> None:
    chosen = recipe_options.resolve({}, 0.1)
    assert chosen == {
        "schedule": "one-cycle", "warm_up": 0.1, "clip": 1.0, "decay_groups": "all", "ema": 0.0,
        "label_smoothing": 0.0, "mixup": 0.0, "weight_decay": 0.1,
    }  # fmt: skip
    # A run of before these options can be resumed: its configuration has no word of them.
    assert not {"schedule", "decay_groups", "ema"} & Recipe(5, 1e-3).described().keys()
    assert Recipe(5, 1e-3, ema=0.9).described()["ema"] == 0.9


def test_the_guides_recipe_is_that_of_the_guide_and_single_options_win() -> None:
    chosen = recipe_options.resolve({"recipe": "guide", "mixup": 0.0, "clip": None}, 1e-4)
    assert chosen == {
        "schedule": "cosine", "warm_up": 500, "clip": 1.0, "decay_groups": "all", "ema": 0.0,
        "label_smoothing": 0.1, "mixup": 0.0, "weight_decay": 0.01,
    }  # fmt: skip


def test_every_recipe_names_options_only() -> None:
    known = {*recipe_options.DEFAULTS, "weight_decay"}
    for recipe in recipe_options.recipes().values():
        assert set(recipe) <= known
    with pytest.raises(UserError, match="there is no recipe 'none' "):
        recipe_options.resolve({"recipe": "none"}, 0.1)


@pytest.mark.parametrize(
    ("warm_up", "steps", "fits"), [(500, 500, False), (500, 501, True), (0.1, 5, True)]
)
def test_a_warm_up_leaves_steps(warm_up: float, steps: int, fits: bool) -> None:
    if fits:
        recipe_options.check_warm_up(warm_up, steps)
    else:
        with pytest.raises(UserError, match="leaves nothing of 500"):
            recipe_options.check_warm_up(warm_up, steps)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_recipe_that_does_not_fit_is_refused_before_light_curves_are_made(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
) -> None:
    monkeypatch.setattr(transit, "make", lambda *_: pytest.fail("it makes light curves"))
    short = ["--curves", "1024", "--epochs", "1", "--recipe", "guide", "--device", "cpu"]
    assert run(monkeypatch, "train", "transit", *short, "-o", str(tmp_path / "run"), *more) == 2
    assert "a warm-up of 500 steps leaves nothing of 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_result_has_the_recipe_and_a_dry_run_counts_the_average(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["--layers", "1", "--steps", "2", "--device", "cpu", "--ema", "0.9", "-o", "run"]
    assert run(monkeypatch, "train", "gpt", *tiny, "--dry-run", "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    (step,) = [each["bytes"] for each in planned["writes"] if each["path"].endswith("step-N")]
    assert step == 4 * 4 * planned["parameters"]
    assert run(monkeypatch, "train", "gpt", *tiny, "--schedule", "cosine", "--quiet") == 0
    assert "config" not in capsys.readouterr().out
    kept = json.loads((tmp_path / "run/result.json").read_text("utf-8"))
    assert kept["config"]["recipe"]["schedule"] == "cosine"
    assert kept["config"]["recipe"]["ema"] == 0.9
