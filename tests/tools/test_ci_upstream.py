"""The sets of the nightly run, and what is made of how they end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import ci_upstream
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_every_set_watches_torch_and_a_library_and_says_why() -> None:
    for name, one in ci_upstream.sets().items():
        assert one["reason"], name
        assert {"torch", "accelerate"} <= {Requirement(each).name for each in one["requires"]}


def test_the_nightly_comes_from_its_index_beside_the_default_one() -> None:
    command = ci_upstream.install_command(ci_upstream.sets()["torch-nightly"], Path("p"))
    assert command[: command.index("torch")] == [
        *("uv", "pip", "install", "--python", "p", "--prerelease", "allow", "--index"),
        *("https://download.pytorch.org/whl/nightly/cpu", "--index-strategy", "unsafe-best-match"),
    ]


def programs(folder: Path, installs: int, checks: int, *, writes: bool) -> None:
    """Write a uv that makes an environment whose metalassay ends as given."""
    body = f"""#!{sys.executable}
import pathlib, sys
if sys.argv[1] == "venv":
    bin = pathlib.Path(sys.argv[2], "bin")
    bin.mkdir(parents=True)
    script = bin / "metalassay"
    script.write_text('''#!{sys.executable}
import pathlib, sys
if {writes}: pathlib.Path(sys.argv[-1]).write_text("verdicts")
sys.exit({checks})
''')
    script.chmod(0o755)
else:
    sys.exit({installs})
"""
    (folder / "uv").write_text(body)
    (folder / "uv").chmod(0o755)


@pytest.mark.parametrize(
    ("installs", "checks", "writes", "code", "said"),
    [
        (0, 0, True, 0, ""),
        (0, 1, True, 0, "::warning::torch-nightly: a verdict differs"),
        (0, 2, True, 1, "::error::torch-nightly: the tests did not end (2)"),
        (0, 1, False, 1, "the tests did not end (1)"),
        (1, 0, True, 1, "::warning::torch-nightly: not installable tonight"),
    ],
)
def test_a_red_verdict_is_an_answer_and_a_failed_installation_is_none(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    installs: int,
    checks: int,
    writes: bool,
    code: int,
    said: str,
) -> None:
    programs(tmp_path, installs, checks, writes=writes)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    target = tmp_path / "out"
    assert ci_upstream.run("torch-nightly", target) == code
    assert said in capsys.readouterr().out
    assert (target / "torch-nightly.json").exists() == (writes and not installs)


@pytest.mark.slow
def test_a_set_is_installed_and_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    one = {"requires": ["accelerate==1.8.1", "torch==2.13.0"], "reason": "x"}
    monkeypatch.setattr(ci_upstream, "sets", lambda: {"known": one})
    dry = ["uv", "pip", "install", "--dry-run", "--quiet", *one["requires"]]
    if subprocess.run([*dry, "--python", sys.executable], check=False).returncode:
        pytest.skip("needs a package index")
    assert ci_upstream.run("known", tmp_path) == 0
    assert (tmp_path / "known.json").exists()
