"""The transit workload: physics, views, the split by star, the models and the command."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from metalassay.cli import handover
from metalassay.cli import main as cli
from metalassay.errors import UserError
from metalassay.training.__main__ import main
from metalassay.training.loop import Recipe, train
from metalassay.training.transit import light_curves, views
from metalassay.training.transit import task as transit
from metalassay.training.transit.eclipse import eclipses, overlap
from metalassay.workloads.models.astronet import AstroNet


def test_discs_that_overlap_share_the_area_that_geometry_says() -> None:
    star, planet = np.array(1.0), np.array(0.1)
    assert overlap(star, planet, np.array(2.0)) == 0
    assert overlap(star, planet, np.array(0.0)) == pytest.approx(math.pi * 0.01)
    # Two unit discs whose centres are 1 apart: 2 pi / 3 - sqrt(3) / 2.
    both = overlap(star, star, np.array(1.0))
    assert both == pytest.approx(2 * math.pi / 3 - math.sqrt(3) / 2)


@pytest.mark.parametrize(
    ("radius", "lost"),
    [
        (0.1, [0.011988, 0.0112934, 0.0061561, 0.0012279]),
        (0.5, [0.2918078, 0.2666878, 0.120017, 0.0878379]),
    ],
)
def test_a_transit_is_as_deep_as_batman_says(radius: float, lost: list[float]) -> None:
    # Recorded from batman-package 2.5.1, quadratic law, u = (0.4, 0.2), at these distances.
    distance = np.array([0, 0.5, 0.95, 1.05])
    table = eclipses(np.array([radius]), np.array([0.4]), np.array([0.2]))
    assert table.at(distance, np.zeros(4, np.int64)) == pytest.approx(lost, rel=0.01)


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_without_limb_darkening_a_planet_takes_the_square_of_its_radius(radius: float) -> None:
    table = eclipses(np.array([radius]), np.zeros(1), np.zeros(1))
    inside = table.at(np.array([0.0, 0.4]), np.zeros(2, np.int64))
    assert inside == pytest.approx(radius**2, rel=1e-6)
    assert table.at(np.array([1 + radius + 0.01]), np.zeros(1, np.int64)) < 1e-9


def test_limb_darkening_deepens_the_middle_of_a_transit() -> None:
    # A small planet in the middle takes p^2 times the central over the mean brightness, which is
    # 1 - u1 / 3 - u2 / 6 (the law integrated over the disc).
    table = eclipses(np.array([0.01]), np.array([0.4]), np.array([0.2]))
    middle = table.at(np.zeros(1), np.zeros(1, np.int64))[0]
    assert middle == pytest.approx(1e-4 / (1 - 0.4 / 3 - 0.2 / 6), rel=0.01)


def test_a_view_has_the_median_at_0_and_the_dip_at_minus_1() -> None:
    curves = light_curves.chunk(0, 0)
    for view, bins in ((curves.whole, 2001), (curves.near, 201)):
        assert view.shape == (256, bins)
        assert view.min(axis=1) == pytest.approx(-1)
        assert np.abs(np.median(view, axis=1)).max() < 1e-3
    planets = curves.near[curves.planet == 1]
    middle = planets[:, 95:106].mean()
    assert middle < -0.6
    assert abs(planets[:, :40].mean()) < 0.1


def test_medians_are_numpys() -> None:
    random = np.random.default_rng(0)
    flux, group = random.normal(0, 0.1, 500), random.integers(0, 40, 500)
    found = views.medians(flux, group, 41)
    expected = [np.median(flux[group == i]) for i in range(40)]
    assert found[:40] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(found[40])


def test_local_bins_overlap_as_in_the_paper() -> None:
    # 201 bins 0.16 durations wide, the first at -4 durations, the last ending at +4.
    random = np.random.default_rng(0)
    at, flux = random.uniform(0, 8, 300), random.normal(0, 0.1, 300)
    found = views._overlapping(flux, at, 8.0, 0.16)
    for number, start in enumerate(np.linspace(0, 8 - 0.16, 201)):
        inside = flux[(at >= start) & (at < start + 0.16)]
        if len(inside):
            assert found[number] == pytest.approx(np.median(inside))
        else:
            assert np.isnan(found[number])


def test_flattening_takes_out_what_is_slow_and_keeps_the_dip() -> None:
    times = np.arange(0, 20, 1 / 48)
    slow = 0.01 * np.sin(2 * np.pi * times / 60)
    dip = np.abs(times - 10) < 0.1
    flat = views.flatten((slow - 0.001 * dip)[None], dip[None], 72)[0]
    inner = slice(150, -150)
    assert np.abs(flat[inner][~dip[inner]]).max() < 1e-4
    assert flat[dip].mean() == pytest.approx(-0.001, abs=5e-5)


def test_the_same_seed_gives_the_same_curves_and_another_others() -> None:
    first, again, other = (light_curves.chunk(seed, 3) for seed in (1, 1, 2))
    assert np.array_equal(first.whole, again.whole)
    assert np.array_equal(first.near, again.near)
    assert not np.array_equal(first.near, other.near)
    assert not np.array_equal(first.near, light_curves.chunk(1, 4).near)


def test_every_kind_of_star_is_there_in_its_share() -> None:
    kinds = np.concatenate([light_curves.chunk(0, i).kind for i in range(4)])
    shares = np.bincount(kinds, minlength=4) / len(kinds)
    assert shares == pytest.approx(light_curves.SHARES, abs=0.08)


def test_no_star_is_in_two_sets() -> None:
    # Both seasons of a star carry its number, and the set follows from the number alone.
    curves = light_curves.chunk(0, 0)
    assert [int((curves.star == star).sum()) for star in range(128)] == [2] * 128
    many = np.arange(100_000)
    tenth = light_curves.part(many, 0)
    assert np.array_equal(tenth[500:700], light_curves.part(many[500:700], 0))
    assert np.bincount(tenth, minlength=10) / 1e5 == pytest.approx(0.1, abs=0.005)
    assert not np.array_equal(tenth, light_curves.part(many, 1))
    numbers = [set(each) for each in transit.PARTS.values()]
    assert set.union(*numbers) == set(range(10))
    assert sum(map(len, numbers)) == 10


def test_the_sets_hold_the_curves_of_their_stars_only() -> None:
    sets = transit.make(0, 1024)
    chunks = [light_curves.chunk(0, i) for i in range(4)]
    tenth = light_curves.part(np.concatenate([each.star for each in chunks]), 0)
    whole = np.concatenate([each.whole for each in chunks])
    assert np.array_equal(sets["test"].whole[:, 0].numpy(), whole[tenth == 9])
    assert np.array_equal(sets["train"].whole[:, 0].numpy(), whole[tenth < 8])


def test_astronet_is_the_papers() -> None:
    model = AstroNet()
    assert sum(each.numel() for each in model.parameters()) == 9_940_193
    columns = (
        model.global_column(torch.zeros(1, 1, 2001)),
        model.local_column(torch.zeros(1, 1, 201)),
    )
    assert [each.shape[1] for each in columns] == [15_104, 1_472]
    assert 15_104 + 1_472 == 16_576 == model.features
    assert model(torch.zeros(2, 1, 2001), torch.zeros(2, 1, 201)).shape == (2, 1)


@pytest.mark.parametrize(
    ("score", "label", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.9, 0.2, 0.8, 0.1], [0, 0, 1, 1], 0.25),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5),
    ],
)
def test_the_area_under_the_curve_counts_pairs(
    score: list[float], label: list[int], expected: float
) -> None:
    assert transit.auc(np.array(score, np.float32), np.array(label, np.float32)) == expected


def test_a_pass_takes_every_batch_once_and_can_be_resumed_anywhere() -> None:
    planet = torch.arange(20.0)
    curves = transit.Curves(torch.zeros(20, 1, 2), torch.zeros(20, 1, 2), planet)
    source = transit.Shuffled(curves, 5, seed=3)
    taken = [source.next().target.tolist() for _ in range(8)]
    assert all(sorted(itertools.chain(*each)) == planet.tolist() for each in (taken[:4], taken[4:]))
    assert taken[:4] != taken[4:]
    other = transit.Shuffled(curves, 5, seed=3)
    other.seek(6)
    assert [other.next().target.tolist() for _ in range(2)] == taken[6:]


def options(folder: Path, *more: str) -> str:
    """Return what the command line hands over for a small, quick run."""
    handed: list[str] = []

    def launch(command: str, parsed: object) -> int:
        values = {k: v for k, v in vars(parsed).items() if not callable(v)}
        handed.append(
            json.dumps({**values, "command": command, "argv": ["train", "transit"]}, default=str)
        )
        return 0

    before, handover.launch = handover.launch, launch  # type: ignore[assignment]
    try:
        small = ["--curves", "1024", "--steps", "4", "--batch-size", "8", "--device", "cpu"]
        cli.main(["train", "transit", *small, "--json", "-o", str(folder), *more])
    finally:
        handover.launch = before
    return handed[0]


def losses(folder: Path) -> list[float]:
    lines = (folder / "log.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.slow
def test_the_command_trains_and_the_same_seed_gives_the_same_losses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        assert main(options(tmp_path / name, "--report-every", "1")) == 0
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert len(losses(tmp_path / "a")) == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("step") for line in lines[:4]] == [1, 2, 3, 4]
    assert 0 <= lines[4]["test_auc"] <= 1
    assert main(options(tmp_path / "c", "--report-every", "1", "--seed", "1")) == 0
    assert losses(tmp_path / "c") != losses(tmp_path / "a")


def test_parts_of_a_batch_add_up_to_the_batch(tmp_path: Path) -> None:
    sets = transit.make(0, 1024)
    gradients = []
    for parts in (1, 2):
        task = transit.task("guide", sets, 1024, 8 // parts, 0, parts)
        task.model.eval()  # no dropout: its random numbers would differ
        for _ in range(parts):
            loss = task.loss(task.model, task.source.next()) / parts
            loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(
            torch.cat(
                [each.grad.flatten() for each in task.model.parameters() if each.grad is not None]
            )
        )
    torch.testing.assert_close(gradients[0], gradients[1])


def test_too_few_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="10 light curves"):
        transit.make(0, 10)


def test_a_missing_library_is_named_with_the_extra_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.torch", raising=False)
    assert main(options(tmp_path)) == 2
    assert "metalassay[train]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())  # before anything is trained


@pytest.mark.slow
def test_ctrl_c_on_the_command_line_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "train", "transit", "--curves", "1024"]
    command += ["--epochs", "50", "--device", "cpu", "--json", "--report-every", "1"]
    command += ["-o", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    assert json.loads(child.stdout.readline())["step"] == 1
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == 130
    assert "--resume" in said
    assert len(list(tmp_path.glob("step-*"))) == 1


@pytest.mark.slow
def test_the_guides_model_learns_to_tell_planets(tmp_path: Path) -> None:
    sets = transit.make(0, 2048)
    task = transit.task("guide", sets, 2048, 32, 0, 1)
    recipe = Recipe(task.source.batches * 3, 5e-3)  # type: ignore[attr-defined]
    train(task, recipe, tmp_path, torch.device("cpu"))
    task.model.eval()
    with torch.inference_mode():
        score = transit.scores(task.model, sets["test"])
    assert transit.auc(score, sets["test"].planet.numpy()) > 0.93
