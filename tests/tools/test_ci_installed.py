"""The archives of a release, installed and used."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import ci_installed
import pytest

from metalassay import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    folder = tmp_path_factory.mktemp("dist")
    command = ["uv", "build", "--quiet", "--out-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot build: {done.stderr[-200:]}")
    return folder


@pytest.mark.slow
def test_wheel_and_sdist_are_installed_and_used(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ci_installed.main([str(dist), "--wheel", "--sdist", "--tag", f"v{__version__}"]) == 0
    assert capsys.readouterr().out.count(": installed and used\n") == 2


@pytest.mark.slow
def test_another_tag_than_the_version_is_refused(dist: Path) -> None:
    with pytest.raises(SystemExit, match=r"is not the release of v9\.9\.9"):
        ci_installed.main([str(dist), "--wheel", "--tag", "v9.9.9"])


def test_one_archive_of_a_kind_is_expected(tmp_path: Path) -> None:
    for name in ("metalassay-1.0-py3-none-any.whl", "metalassay-1.1-py3-none-any.whl"):
        (tmp_path / name).touch()
    for kind in ("--wheel", "--sdist"):
        with pytest.raises(SystemExit, match=r"files .*, not one"):
            ci_installed.main([str(tmp_path), kind])
    with pytest.raises(SystemExit) as caught:
        ci_installed.main([str(tmp_path)])
    assert caught.value.code == 2
