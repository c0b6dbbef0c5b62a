"""The rows of the research sheet, read from real wheels; skipped where `nox -s api` has fetched none."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from metalassay.linkcheck import checker, installed

WHEELS = Path(os.environ.get("METALASSAY_WHEELS", "~/.cache/metalassay/api-history")).expanduser()

pytestmark = pytest.mark.slow


def unpacked(folder: Path, releases: dict[str, str]) -> Path:
    for package, version in releases.items():
        wheel = next(WHEELS.glob(f"{package}-{version}-*.whl"), None)
        if wheel is None:
            pytest.skip(
                f"no wheel of {package} {version} in {WHEELS}; METALASSAY_WHEELS names a folder"
            )
        with zipfile.ZipFile(wheel) as archive:
            names = [
                each for each in archive.namelist() if "/models/" not in each or "/auto/" in each
            ]
            archive.extractall(folder, names)
    return folder


@pytest.mark.parametrize(
    ("releases", "what"),
    [
        ({"transformers": "4.37.2", "accelerate": "1.1.1"}, "dispatch_batches"),
        ({"transformers": "4.37.2", "accelerate": "0.34.2"}, ""),
        ({"peft": "0.17.1", "accelerate": "0.31.0"}, "clear_device_cache"),
        ({"peft": "0.17.1", "accelerate": "0.34.2"}, ""),
        ({"transformers": "4.52.4", "accelerate": "1.1.1"}, "keep_torch_compile"),
        ({"transformers": "4.52.4", "accelerate": "1.8.0"}, ""),
        ({"trl": "0.16.1", "transformers": "4.52.4"}, "_get_train_sampler"),
        ({"trl": "0.16.1", "transformers": "4.51.3"}, ""),
        ({"trl": "0.24.0", "transformers": "5.3.0"}, "_is_package_available"),
        ({"trl": "0.24.0", "transformers": "5.0.0"}, ""),
        ({"transformers": "4.45.2", "accelerate": "0.33.0"}, ""),  # AdamW.train: not seen
    ],
)
def test_what_stops_in_real_releases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, releases: dict[str, str], what: str
) -> None:
    monkeypatch.setattr(checker, "find", lambda: None)
    report = installed.check(str(unpacked(tmp_path, releases)), keep=False)
    stops = [each.what for each in report.breaks if each.stops]
    assert bool(stops) == bool(what)
    assert all(what in each for each in stops)
