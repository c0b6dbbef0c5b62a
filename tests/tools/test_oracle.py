"""The tool behind `nox -s oracle`, on a constructed wheel; nothing is downloaded."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import oracle
import pytest
from constructed_wheel import YAML, wheel

from metalassay.errors import UserError
from metalassay.mps.operators import oracle as shipped

YAML_PATH = "torchgen/packaged/ATen/native/native_functions.yaml"


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the tool calls pip; its other child process, torchgen, may run."""
    run = subprocess.run

    def guarded(command: list[str], **options: object) -> object:
        assert "pip" not in command
        return run(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", guarded)


def main(folder: Path, *arguments: str) -> int:
    """Run the tool with the wheels, the list of versions and the results in ``folder``."""
    versions = folder / "torch_versions.toml"
    versions.write_text(
        'python = "3.11"\nplatforms = ["macosx_14_0_arm64"]\nversions = ["9.9.0"]\n'
    )
    return oracle.main(["--wheels", str(folder), *arguments], versions, folder / "operators")


def test_a_file_is_written_once_and_unchanged_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path)
    target = tmp_path / "operators" / "9.9.0.json"
    assert main(tmp_path, "--check") == 1
    assert not target.exists()
    assert main(tmp_path) == 0
    assert "9.9.0: written" in capsys.readouterr().out
    assert main(tmp_path, "--check") == 0
    assert "9.9.0: unchanged" in capsys.readouterr().out
    target.write_text("{}")
    assert main(tmp_path, "--check") == 1
    assert main(tmp_path, "--missing") == 0
    assert target.read_text() == "{}"


def test_nothing_is_written_if_the_sources_disagree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path, {YAML_PATH: YAML + "erfc.out: CPU MPS\n"})
    assert main(tmp_path) == 1
    assert not (tmp_path / "operators").exists()
    assert "only one source names erfc.out" in capsys.readouterr().err


def test_a_version_that_is_not_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not in torch_versions\.toml: 1\.13\.0"):
        main(tmp_path, "1.13.0")


def test_the_listed_versions_are_those_with_a_file() -> None:
    config = tomllib.loads(oracle.VERSIONS.read_text("utf-8"))
    assert tuple(config["versions"]) == shipped.versions()
    assert oracle.OPERATORS.samefile(Path(shipped.__file__).parent)


def test_the_help_shows_how_to_read_one_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        oracle.parse(["--help"])
    assert "nox -s oracle -- 2.15.0" in capsys.readouterr().out
