"""The transit task: the split by star, the batches, the models and the command."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import torch

from metalassay.cli import handover
from metalassay.cli import main as cli
from metalassay.errors import UserError
from metalassay.results import calibration_file
from metalassay.training.__main__ import main
from metalassay.training.loop import Recipe, train
from metalassay.training.transit import light_curves
from metalassay.training.transit import task as transit
from metalassay.workloads.models.astronet import AstroNet


def test_no_star_is_in_two_sets() -> None:
    # Both seasons of a star carry its number, and the set follows from the number alone.
    curves = light_curves.chunk(0, 0)
    assert [int((curves.star == star).sum()) for star in range(128)] == [2] * 128
    many = np.arange(100_000)
    tenth = light_curves.tenth(many, 0)
    assert np.array_equal(tenth[500:700], light_curves.tenth(many[500:700], 0))
    assert np.bincount(tenth, minlength=10) / 1e5 == pytest.approx(0.1, abs=0.005)
    assert not np.array_equal(tenth, light_curves.tenth(many, 1))
    numbers = [set(each) for each in transit.PARTS.values()]
    assert set.union(*numbers) == set(range(10))
    assert sum(map(len, numbers)) == 10


def test_each_set_has_only_the_curves_of_its_stars() -> None:
    sets = transit.make(0, 1024)
    chunks = [light_curves.chunk(0, i) for i in range(4)]
    tenth = light_curves.tenth(np.concatenate([chunk.star for chunk in chunks]), 0)
    whole = np.concatenate([chunk.whole for chunk in chunks])
    assert np.array_equal(sets["test"].whole[:, 0].numpy(), whole[tenth == 9])
    assert np.array_equal(sets["train"].whole[:, 0].numpy(), whole[tenth < 8])


def test_astronet_equals_the_model_of_the_paper() -> None:
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
def test_the_auc_counts_pairs(score: list[float], label: list[int], expected: float) -> None:
    assert transit.auc(np.array(score, np.float32), np.array(label, np.float32)) == expected


def test_a_pass_uses_every_curve_once_and_can_be_resumed_anywhere() -> None:
    planet = torch.arange(20.0)
    curves = transit.Curves(torch.zeros(20, 1, 2), torch.zeros(20, 1, 2), planet)
    source = transit.ShuffledBatches(curves, 5, seed=3)
    taken = [source.next().target.tolist() for _ in range(8)]
    assert all(sorted(itertools.chain(*each)) == planet.tolist() for each in (taken[:4], taken[4:]))
    assert taken[:4] != taken[4:]
    other = transit.ShuffledBatches(curves, 5, seed=3)
    other.seek(6)
    assert [other.next().target.tolist() for _ in range(2)] == taken[6:]


def options(folder: Path, *more: str) -> str:
    """Return what the command line passes to its process for a small, quick run."""
    handed: list[str] = []

    def launch(command: str, parsed: object, prefix: object = ()) -> int:
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


def assert_calibrated(run: Path, printed: dict[str, float], source: str, light_curves: int) -> None:
    """Assert that the file of the calibration is of the test set, and has the figures that are printed."""
    found, of = calibration_file.parse((run / "calibration.json").read_bytes())
    assert (of, found.count) == (source, light_curves)
    assert 0 < found.planets < light_curves
    result = json.loads((run / "result.json").read_text("utf-8"))
    for figures in (printed, result):
        assert figures["test_calibration_error"] == pytest.approx(found.error, rel=1e-12)
        assert figures["test_brier"] == found.brier
    assert 0 < found.brier < 1


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
    assert_calibrated(
        tmp_path / "a",
        lines[4],
        "synthetic",
        light_curves=len(transit.make(0, 1024)["test"].planet),
    )
    assert main(options(tmp_path / "c", "--report-every", "1", "--seed", "1")) == 0
    assert losses(tmp_path / "c") != losses(tmp_path / "a")


@pytest.mark.slow
def test_logits_that_are_no_numbers_are_one_line_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sets, scores = transit.make(0, 1024), transit.scores
    assert len(sets["test"].planet) != len(sets["validation"].planet)

    def overflowing(model: torch.nn.Module, curves: transit.Curves) -> npt.NDArray[np.float32]:
        found = scores(model, curves)
        if len(found) == len(sets["test"].planet):
            found[0] = np.nan
        return found

    monkeypatch.setattr(transit, "scores", overflowing)
    assert main(options(tmp_path)) == 2
    assert "the sum of the test logits is nan after step 4\n" in capsys.readouterr().err
    assert not (tmp_path / "calibration.json").exists()
    assert not (tmp_path / "result.json").exists()


def test_accumulated_parts_of_a_batch_equal_the_batch(tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_ctrl_c_prints_how_to_resume(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metalassay", "train", "transit", "--curves", "1024"]
    command += ["--epochs", "50", "--device", "cpu", "--json", "--report-every", "1"]
    command += ["-o", str(tmp_path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    assert json.loads(child.stdout.readline())["step"] == 1
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate()
    assert child.returncode == 130
    assert "--resume" in stderr
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


def test_a_negative_seed_gives_the_same_order_as_torch() -> None:
    none = torch.zeros(10, 1, 1)
    source = transit.ShuffledBatches(transit.Curves(none, none, torch.arange(10)), 10, -1)
    expected = torch.randperm(10, generator=torch.Generator().manual_seed(-1_000_003))
    assert source.next().target.tolist() == expected.tolist()


def test_more_curves_than_fit_into_memory_are_refused_before_any_is_generated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(light_curves, "chunk", lambda *_: pytest.fail("a chunk was made"))
    with pytest.raises(UserError, match="100,000,000,000 light curves need about") as raised:
        transit.make(0, 10**11)
    most = int(raised.value.next_step.rpartition(" ")[2])
    assert transit.FEWEST < most < 10**11
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**6))
    with pytest.raises(UserError) as raised:
        transit.make(0, 2048)
    assert raised.value.next_step == "close other programs"


@pytest.mark.slow
def test_the_estimate_of_memory_is_close_to_the_real_use() -> None:
    code = (
        "import sys; from metalassay.machine.process_memory import peak_rss; from metalassay.training.transit import task as transit;"
        "before = peak_rss(); transit.make(0, int(sys.argv[1])); print(peak_rss() - before)"
    )
    taken = [
        int(subprocess.check_output([sys.executable, "-c", code, str(n)])) for n in (2048, 8192)
    ]
    assert taken[1] - taken[0] == pytest.approx(6144 * transit.BYTES, rel=0.25)
    assert taken[0] < transit.WORKING + 2048 * transit.BYTES
