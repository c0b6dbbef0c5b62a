"""A user's own light curves: read from CSV and FITS, folded by an ephemeris, trained on and predicted."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from train_command import run as command

from metalassay.errors import UserError
from metalassay.results import calibration_file
from metalassay.training.transit import observed
from metalassay.training.transit.observed import Ephemeris
from metalassay.training.transit.task import Curves
from metalassay.training.transit.views import Floats, flatten

HEAD = "file,period,epoch,duration,label\n"
needs_astropy = pytest.mark.skipif(
    importlib.util.find_spec("astropy") is None, reason="FITS needs astropy, an extra"
)


def dips(
    times: Floats, period: float, epoch: float, duration: float, depth: float, slope: float = 0.0
) -> Floats:
    """Return a star of 1000 counts that fades, with box-shaped dips."""
    phase = (times - epoch + period / 2) % period - period / 2
    light: Floats = 1000 * (1 + slope * (times - times.mean())) - 1000 * depth * (
        np.abs(phase) < duration / 2
    )
    return light


def write_csv(path: Path, times: Floats, flux: Floats) -> None:
    lines = [
        f"{time!r},{value!r}" for time, value in zip(times.tolist(), flux.tolist(), strict=True)
    ]
    path.write_text("# a comment\ntime,flux\n" + "\n".join(lines) + "\n", "utf-8")


def some_stars(folder: Path, count: int, labels: bool = True, points: int = 600) -> Path:
    """Write light curves, every second one with dips at its ephemeris, and return the table."""
    random = np.random.default_rng(0)
    rows = []
    for star in range(count):
        times = np.sort(random.uniform(100, 130, points))
        flux = dips(times, 3.0, 101.0, 0.4, 0.02 * (star % 2)) + random.normal(0, 1, points)
        write_csv(folder / f"{star}.csv", times, flux)
        rows.append(f"{star}.csv,3.0,101.0,0.4,{star % 2 if labels else ''}\n")
    table = folder / "table.csv"
    table.write_text(HEAD + "".join(rows), "utf-8")
    return table


def test_a_fading_star_with_gaps_becomes_flat_around_its_dip(tmp_path: Path) -> None:
    times = np.arange(0, 60, 1 / 48)
    times = times[(times < 20) | (times > 27)]
    path = tmp_path / "a.csv"
    write_csv(path, times, dips(times, 4.0, 1.5, 0.2, 0.01, slope=1e-3))
    whole, near = observed.folded(
        *observed.light_curve(path), Ephemeris("", 4.0, 1.5, 0.2, None, 1)
    )
    assert (whole.shape, near.shape) == ((2001,), (201,))
    assert near[100] == pytest.approx(-1, abs=0.05)  # the dip is in the middle, at full depth
    assert near[92] == pytest.approx(-1, abs=0.05)
    assert np.abs(near[:85]).max() < 0.05  # 0.2 days of 1.6 are 25 bins
    assert np.abs(near[116:]).max() < 0.05
    assert whole[1000] == pytest.approx(-1, abs=0.05)
    assert np.abs(np.delete(whole, slice(940, 1061))).max() < 0.05
    shifted = observed.folded(*observed.light_curve(path), Ephemeris("", 4.0, 2.5, 0.2, None, 1))
    assert shifted[1][100] > -0.5


def test_the_trend_is_that_of_the_synthetic_curves_where_the_points_are_regular() -> None:
    times = np.arange(0, 30, 1 / 48)
    flux = 1 + 0.01 * np.sin(times) + np.random.default_rng(0).normal(0, 1e-3, len(times))
    dip = np.abs((times + 1) % 2 - 1) < 0.1
    ours = flux - observed.trend(times, flux, dip)
    theirs = flatten(flux[None], dip[None], 72)[0]
    assert np.abs(ours - theirs)[40:-40].max() < 1e-9


def test_what_is_not_finite_is_left_out_and_times_are_sorted(tmp_path: Path) -> None:
    times = np.arange(100.0)
    times[5], times[6] = times[6], times[5]
    flux = np.full(100, 20.0)
    flux[3], times[8] = np.nan, np.inf
    path = tmp_path / "a.csv"
    write_csv(path, times, flux)
    found = observed.light_curve(path)
    assert len(found[0]) == 98
    assert list(found[0]) == sorted(found[0])
    assert set(found[1].tolist()) == {1.0}
    path.write_text("".join(f"{i},2.0\n" for i in range(60)), "utf-8")  # two numbers, no header
    assert len(observed.light_curve(path)[0]) == 60
    path.write_text("Flux,x,TIME\n" + "".join(f"2,,{i}\n" for i in range(60)), "utf-8")
    assert observed.light_curve(path)[0][-1] == 59
    path.write_text("time,flux\n" + "".join(f"{i},\n" for i in range(60)), "utf-8")
    with pytest.raises(UserError, match="0 usable points"):
        observed.light_curve(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rows"),
        (HEAD, "has no rows"),
        ("file,period,epoch\na.csv,1,2\n", "has no column 'duration'"),
        (HEAD + "a.csv,x,1,1,\n", "line 2: period must be a number above 0, not 'x'"),
        (HEAD + "a.csv,-3,1,1,\n", "period must be a number above 0, not '-3'"),
        (HEAD + "a.csv,3,nan,1,\n", "epoch must be a number, not 'nan'"),
        (HEAD + "a.csv,3,1\n", "duration must be a number above 0, not ''"),
        (HEAD + "a.csv,3,1,3,\n", "the duration is not shorter than the period"),
        (HEAD + "a.csv,3,1,1,maybe\n", "label must be 1, 0 or empty, not 'maybe'"),
        (HEAD + ",3,1,1,0\n", "no file is named"),
        (HEAD + "none.csv,3,1,1,0\n", "cannot read"),
        (HEAD + "words.csv,3,1,1,0\n", "no columns time and flux"),
        (HEAD + "negative.csv,3,1,1,0\n", "the median of the flux is -1"),
        (HEAD + "damaged.csv,3,1,1,0\n", "not text in UTF-8"),
        (HEAD + '"' + "x" * 200_000 + '",3,1,1,0\n', "field larger than field limit"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "words.csv").write_text("some words\n", "utf-8")
    (tmp_path / "negative.csv").write_text("".join(f"{i},-1\n" for i in range(60)), "utf-8")
    (tmp_path / "damaged.csv").write_bytes(b"\xff\xfe")
    table = tmp_path / "table.csv"
    table.write_text(text, "utf-8")
    with pytest.raises(UserError) as caught:
        observed.read(table, tmp_path, 0)
    assert message in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_all_curves_of_a_file_are_in_one_set_and_both_kinds_are_needed(tmp_path: Path) -> None:
    table = some_stars(tmp_path, 60, points=60)
    rows = table.read_text("utf-8")
    table.write_text(rows + rows.removeprefix(HEAD), "utf-8")
    found = observed.read(table, tmp_path, 0)
    assert list(found.part[:60]) == list(found.part[60:])
    sets = found.sets()
    assert sets
    assert {name: len(each.planet) for name, each in sets.items()} == {
        name: found.part.count(name) for name in ("train", "validation", "test")
    }
    assert all(0 < each.planet.mean() < 1 for each in sets.values())
    assert {name: len(each.planet) for name, each in sets.items()} == {
        "train": 96,
        "validation": 12,
        "test": 12,
    }
    assert observed.split(found.rows, 0) != observed.split(found.rows, 1)
    assert observed.read(some_stars(tmp_path, 6, points=60), tmp_path, 0).sets()
    few = some_stars(tmp_path, 5, points=60)
    with pytest.raises(UserError, match="too few labelled light curves"):
        observed.read(few, tmp_path, 0).sets()
    unknown = some_stars(tmp_path, 4, labels=False, points=60)
    assert observed.read(unknown, tmp_path, 0).sets() is None


def test_what_changes_a_curve_or_a_label_changes_the_identity(tmp_path: Path) -> None:
    table = some_stars(tmp_path, 3, points=60)
    first = observed.read(table, tmp_path, 0).identity()
    assert observed.read(table, tmp_path, 0).identity() == first
    text = table.read_text("utf-8")
    for old, new in (("0.4,1", "0.4,0"), ("0.4,1", "0.4,"), (",3.0,", ",2.9,")):
        table.write_text(text.replace(old, new), "utf-8")
        assert observed.read(table, tmp_path, 0).identity() != first


def train(monkeypatch: pytest.MonkeyPatch, folder: Path, table: Path, *more: str) -> int:
    arguments = ["train", "transit", "--data", str(folder), "--ephemeris", str(table), "--device"]
    arguments += ["cpu", "--threads", "1", "--batch-size", "8", "-o", str(folder / "run"), *more]
    return command(monkeypatch, *arguments)


@pytest.mark.slow
def test_labelled_curves_are_trained_on_and_all_are_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = some_stars(tmp_path, 80)
    with table.open("a", encoding="utf-8") as file:
        file.write("1.csv,3.0,102.5,0.4,\n")  # away from the dip, without a label
    assert train(monkeypatch, tmp_path, table, "--epochs", "20", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["test_auc"] > 0.9
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 81
    assert rows[-1]["set"] == rows[-1]["label"] == ""
    logits = np.array([float(row["logit"]) for row in rows])
    probability = np.array([float(row["probability"]) for row in rows])
    assert probability == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-4)
    tests = [i for i, row in enumerate(rows) if row["set"] == "test"]
    assert len(tests) == 8
    found, source = calibration_file.parse((tmp_path / "run" / "calibration.json").read_bytes())
    assert (source, found.count) == ("own", 8)
    assert found.planets == sum(rows[i]["label"] == "1" for i in tests)
    true = np.array([float(rows[i]["label"]) for i in tests])
    brier = np.mean((probability[tests] - true) ** 2)
    assert result["test_brier"] == found.brier == pytest.approx(brier, abs=1e-4)
    assert result["test_calibration_error"] == pytest.approx(found.error, abs=1e-12)
    right = [(probability[i] > 0.5) == (rows[i]["label"] == "1") for i in tests]
    assert np.mean(right) > 0.7

    assert train(monkeypatch, tmp_path, table, "--epochs", "20", "--json", "--resume") == 0
    capsys.readouterr()
    table.write_text(table.read_text("utf-8").replace("102.5,0.4,", "102.5,0.3,"), "utf-8")
    assert train(monkeypatch, tmp_path, table, "--epochs", "20", "--json", "--resume") == 2
    assert "data.sha256 was" in capsys.readouterr().err


@pytest.mark.slow
def test_without_labels_the_synthetic_curves_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = some_stars(tmp_path, 3, labels=False)
    predictions = tmp_path / "own.csv"
    more = ["--curves", "1024", "--steps", "1", "--quiet", "--predictions", str(predictions)]
    assert train(monkeypatch, tmp_path, table, *more, "--dry-run") == 0
    out = capsys.readouterr().out
    calibration = tmp_path / "run" / "calibration.json"
    assert f"  {predictions}: at the end" in out
    assert f"  {calibration}: at the end" in out
    assert not predictions.exists()
    assert not calibration.exists()
    assert train(monkeypatch, tmp_path, table, *more) == 0
    assert calibration_file.parse(calibration.read_bytes())[1] == "synthetic"
    assert len(predictions.read_text("utf-8").splitlines()) == 4
    state: dict[str, Any] = json.loads(
        (tmp_path / "run" / "step-00000001" / "state.json").read_text("utf-8")
    )
    assert "data" not in state["config"]


def test_curves_and_ephemerides_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, lacking in (("data", "ephemeris"), ("ephemeris", "data"), ("predictions", "data")):
        assert command(monkeypatch, "train", "transit", f"--{given}", str(tmp_path / "x")) == 2
        error = capsys.readouterr().err
        assert f"--{given} needs --{lacking}" in error or given == "predictions"
        assert "next: metalassay train transit --data DIR --ephemeris FILE" in error


def test_fits_without_astropy_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, *rest: Any) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UserError, match="needs astropy") as caught:
        observed.light_curve(tmp_path / "a.fits")
    assert caught.value.next_step == "pip install 'metalassay[fits]'"


@needs_astropy
def test_fits_of_kepler_and_tess_is_read_without_flagged_points(tmp_path: Path) -> None:
    fits = importlib.import_module("astropy.io.fits")

    times = np.arange(200.0)
    flux = np.where(np.arange(200) % 50 == 0, np.nan, 100.0).astype(np.float32)
    quality = np.zeros(200, np.int32)
    quality[10], flux[10] = 128, 1e6
    for key in ("QUALITY", "SAP_QUALITY"):
        columns = [
            fits.Column("TIME", "D", array=times),
            fits.Column("SAP_FLUX", "E", array=flux * 2),
            fits.Column("PDCSAP_FLUX", "E", array=flux),
            fits.Column(key, "J", array=quality),
        ]
        units = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)])
        for name in ("a.fits", "b.fits.gz"):
            units.writeto(tmp_path / name, overwrite=True)
            found = observed.light_curve(tmp_path / name)
            assert len(found[0]) == 195
            assert set(found[1].tolist()) == {1.0}


@needs_astropy
@pytest.mark.parametrize("content", [b"", b"SIMPLE", b"SIMPLE  =   T" + b" " * 3000, b"\x1f\x8b"])
def test_damaged_fits_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.fits"):
        observed.light_curve(path)


def test_a_very_negative_logit_is_a_probability_of_0() -> None:
    curves = Curves(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1), torch.zeros(2))
    rows = [Ephemeris("a", 1, 0, 0.1, None, 2), Ephemeris("b", 1, 0, 0.1, 1, 3)]
    text = observed.predictions(
        observed.Observed(rows, curves, ["", "test"]), np.array([-900, 900], np.float32)
    )
    assert [line.rsplit(",", 1)[1] for line in text.splitlines()[1:]] == ["0.000000", "1.000000"]
