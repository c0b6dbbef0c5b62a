"""What the noxfile does beyond calling tools: pip's folders for uv, the resolver's sentence, the menu."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import matrix

pytest.importorskip("nox")

ROOT = Path(__file__).parents[2]

# What uv really prints; the cross is a multiplication sign.
UV = """\
  \u00d7 No solution found when resolving dependencies:
  ╰─▶ Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you
      require huggingface-hub<1, we can conclude that your requirements are
      unsatisfiable.

      hint: something else
"""
NEWER_UV = """\
Using Python 3.11.7 environment at: .nox/x
error: No solution found when resolving dependencies
  cause: Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0
         and you require huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.
hint: something else
"""
PIP = """\
Collecting accelerate==9.9.9
ERROR: Could not find a version that satisfies the requirement accelerate==9.9.9 (from versions: 1.0.0)
ERROR: No matching distribution found for accelerate==9.9.9
"""


@pytest.fixture(scope="module")
def noxfile() -> types.ModuleType:
    before = Path.cwd()
    os.chdir(ROOT)
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.chdir(before)
    return module


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            UV,
            "Because transformers==5.0.0 depends on huggingface-hub>=1.3.0 and you require"
            " huggingface-hub<1, we can conclude that your requirements are unsatisfiable.",
        ),
        (
            NEWER_UV,
            "Because transformers==4.52.4 depends on huggingface-hub>=0.30.0,<1.0 and you require"
            " huggingface-hub>=2, we can conclude that your requirements are unsatisfiable.",
        ),
        (PIP, "No matching distribution found for accelerate==9.9.9"),
        ("error: Failed to fetch: timed out\n", "Failed to fetch: timed out"),
        ("", "the installer failed and said nothing"),
    ],
)
def test_the_resolvers_own_sentence_is_found(
    noxfile: types.ModuleType, output: str, sentence: str
) -> None:
    assert noxfile.resolver_sentence(output) == sentence


def test_pips_folders_of_wheels_reach_uv(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("pip3") is None and importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip whose configuration could be read")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nfind-links =\n    /wheels/a\n    /wheels/b\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    found = noxfile.pip_find_links()["UV_FIND_LINKS"].split(",")
    assert found[-2:] == ["/wheels/a", "/wheels/b"]


def test_a_users_own_setting_for_uv_is_left_alone(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert noxfile.pip_find_links() == {}


def listing(*arguments: str) -> list[dict[str, Any]]:
    """Ask nox which sessions a command line selects."""
    done = subprocess.run(
        [sys.executable, "-m", "nox", "-l", "--json", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


QUICK_IDS = [f"accelerate-{v}" for v in ("1.1.1", "1.8.0", "1.8.1", "1.9.0", "1.15.0")]
QUICK = [f"compat({row})" for row in QUICK_IDS]
ROWS = matrix.load(ROOT)


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ([], [*QUICK, "bench", "report"]),
        (["-s", "compat"], QUICK),
        (["-s", "compat(guide)"], ["compat(guide)"]),
        (["-t", "guide"], ["compat(guide)"]),
        (["-t", "full"], [*QUICK, *(f"compat({row})" for row in ROWS if row not in QUICK_IDS)]),
    ],
)
def test_the_menu_selects_what_it_says(arguments: list[str], selected: list[str]) -> None:
    sessions = listing(*arguments)
    assert [session["session"] for session in sessions] == selected
    assert all(session["description"] for session in sessions)


def test_a_row_that_cannot_be_installed_leaves_a_file_that_the_report_reads(
    noxfile: types.ModuleType, tmp_path: Path
) -> None:
    from metalassay.results import load

    row = {"id": "x", "requires": ["a==1"], "reason": "r", "tags": ["full"]}
    noxfile.write_not_installable(tmp_path / "compat" / "x.json", row, "no such version")
    loaded = load.load([tmp_path])
    assert loaded.warnings == ()
    assert loaded.compat[0].not_installable == "no such version"


@pytest.mark.parametrize("on_github", [True, False])
def test_the_report_of_a_ci_job_is_on_its_page(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch, on_github: bool
) -> None:
    commands: list[tuple[str, ...]] = []
    session = types.SimpleNamespace(run=lambda *command: commands.append(command))
    monkeypatch.setattr(noxfile, "must_install", lambda *_: None)
    if on_github:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    else:
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    noxfile.report.func(session)
    assert commands == [("metalassay", "report", *(["--summary"] if on_github else []))]


class Environment:
    """As much of a nox session as installing needs."""

    def __init__(self, location: Path) -> None:
        self.location = str(location)
        self.virtualenv = self
        self.create()

    def create(self) -> None:
        Path(self.location).mkdir()

    def install(self, *requirements: str, **_: object) -> None:
        if "--dry-run" not in requirements:
            for name in requirements:
                Path(self.location, name).touch()


def test_what_is_not_asked_for_any_more_does_not_stay(
    noxfile: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    session = Environment(tmp_path / "environment")

    def installed(*requirements: str) -> set[str]:
        assert noxfile.install(session, *requirements) == ""
        return {path.name for path in Path(session.location).iterdir()} - {
            "metalassay-installed.json"
        }

    assert installed("accelerate", "transformers") == {"accelerate", "transformers"}
    Path(session.location, "by-hand").touch()
    assert installed("accelerate", "transformers") == {"accelerate", "transformers", "by-hand"}
    assert installed("accelerate") == {"accelerate"}
