"""What there is to run. `nox` alone runs the main job: the quick matrix, a benchmark, the report."""

from __future__ import annotations

import ast
import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

MATRIX = nox.project.load_toml("matrix.toml")
VERDICTS = Path("reports", "compat")
QUICK = [row for row in MATRIX["row"] if "quick" in row["tags"]]


def pip_find_links() -> dict[str, str]:
    """Hand the folders of wheels that pip is configured with on to uv, which reads no pip.conf."""
    if "UV_FIND_LINKS" in os.environ:
        return {}
    listing = ""
    for pip in ([sys.executable, "-m", "pip"], [shutil.which("pip3") or "pip"]):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            listing = subprocess.check_output(
                [*pip, "config", "list"], text=True, stderr=subprocess.DEVNULL
            )
            break
    values = re.findall(r"^[\w:]+\.find-links=(.+)$", listing, re.MULTILINE)
    links = dict.fromkeys(link for value in values for link in ast.literal_eval(value).split())
    return {"UV_FIND_LINKS": ",".join(links)} if links else {}


def resolver_sentence(output: str) -> str:
    """Find, in what uv or pip printed, the sentence that says why."""
    uv = re.search(r"(?:╰─▶|cause:) (.+?)(?:\n\s*\n|\n\S|\Z)", output, re.DOTALL)
    lines = [uv[1]] if uv else re.findall(r"^(?:error|ERROR): (.+)$", output, re.MULTILINE)
    return " ".join(
        (lines or [output.strip() or "the installer failed and said nothing"])[-1].split()
    )


def install(session: nox.Session, *requirements: str) -> str:
    """Install once, again only when something asked for has changed; return why it cannot be done.

    The resolver runs alone first: that takes a second, shows a conflict before anything is
    downloaded, and leaves the real installation free to show its progress.
    """
    key = json.dumps(
        [requirements, hashlib.sha256(Path("pyproject.toml").read_bytes()).hexdigest()]
    )
    stamp = Path(session.virtualenv.location, "metalassay-installed.json")
    if stamp.exists() and stamp.read_text() == key:
        return ""
    if stamp.exists():
        # What was asked for before and is not any more would stay, and be tested as if it belonged.
        shutil.rmtree(session.virtualenv.location)
        session.virtualenv.create()
    env = pip_find_links()
    with tempfile.TemporaryFile("w+") as log:
        try:
            session.install("--dry-run", *requirements, env=env, silent=False, stdout=log)
        except nox.command.CommandFailed:
            log.seek(0)
            return resolver_sentence(log.read())
    try:
        session.install(*requirements, env=env, silent=False)
    except nox.command.CommandFailed:
        return (
            "it resolves, but installing failed; the installer's message is in the terminal above"
        )
    stamp.write_text(key)
    return ""


def must_install(session: nox.Session, *requirements: str) -> None:
    """Install, or end the session with the reason."""
    if why := install(session, *requirements):
        session.error(f"cannot install {' '.join(requirements)}: {why}")


def assay(session: nox.Session, row: dict[str, Any]) -> None:
    """Install one version set and see whether bugs/data/ tells the truth about it."""
    session.notify("report")
    target = VERDICTS / f"{row['id']}.json"
    arguments = [each for each in session.posargs if each != "--strict"]
    arguments += [f"--bug={bug}" for bug in row.get("bugs", ())]
    if row in QUICK:
        arguments = ["-m", "not slow", *arguments]
    if why := install(session, "-e", ".[compat]", *row["requires"]):
        write_not_installable(target, row, why)
        end = session.error if "--strict" in session.posargs else session.skip
        end(f"not installable: {why}")
    session.run("pytest", "compat", "--set", row["id"], "--verdicts", str(target), *arguments)


def write_not_installable(target: Path, row: dict[str, Any], why: str) -> None:
    """Leave a verdict file that says so: in that environment is nothing that could write it."""
    system, _, release, _, machine, _ = platform.uname()
    record = {
        "schema": "metalassay.compat/1",
        "set": {key: row.get(key) for key in ("id", "python", "requires", "reason", "tags")},
        "command": f'nox -s "compat({row["id"]})"',
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "versions": {"python": row.get("python") or platform.python_version()},
        "hardware": {"system": system, "release": release, "machine": machine},
        "not_installable": why,
        "bugs": [],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".part")
    draft.write_text(json.dumps(record, indent=1))
    draft.replace(target)


@nox.session
@nox.parametrize("row", [nox.param(row, id=row["id"], tags=row["tags"]) for row in QUICK])
def compat(session: nox.Session, row: dict[str, Any]) -> None:
    """Install a version set of matrix.toml and test every known bug on it."""
    assay(session, row)


for row in MATRIX["row"]:
    if row not in QUICK:

        def selected(session: nox.Session, row: dict[str, Any] = row) -> None:  # noqa: D103
            assay(session, row)

        selected.__doc__ = row["reason"]
        name = f"compat({row['id']})"
        nox.session(name=name, python=row.get("python"), tags=row["tags"], default=False)(selected)


@nox.session
def bench(session: nox.Session) -> None:
    """Time the workloads on this machine."""
    session.notify("report")
    must_install(session, "-e", ".[bench]", *MATRIX["bench"]["requires"])
    session.run("pytest", "benchmarks", "--benchmark-autosave", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Make the tables from everything under reports/, and print them."""
    must_install(session, "-e", ".[report]")
    # On a runner of GitHub's the job's page gets the summary.
    summary = ["--summary"] if "GITHUB_STEP_SUMMARY" in os.environ else []
    session.run("metalassay", "report", *summary)


@nox.session(default=False)
def bisect(session: nox.Session) -> None:
    """Find the releases between which a bug appears or goes: nox -s bisect -- BUG."""
    must_install(session, "-e", ".[compat]", *MATRIX["bisect"]["requires"])
    session.run("metalassay", "bisect", *session.posargs)


@nox.session(default=False)
def resolve(session: nox.Session) -> None:
    """Ask which rows can be installed, on Linux and on macOS; downloads nothing."""
    must_install(session, "-e", ".")
    session.run("metalassay", "resolve", *session.posargs, env=pip_find_links())


@nox.session(default=False)
@nox.parametrize("row", [nox.param(row, id=row["id"]) for row in MATRIX["upstream"]["row"]])
def upstream(session: nox.Session, row: dict[str, Any]) -> None:
    """Run a release's own tests, stock and patched: the same tests must end the same way."""
    must_install(session, "-e", ".", *MATRIX["upstream"]["requires"], *row["requires"])
    session.run("python", "tools/upstream_tests.py", row["id"])


@nox.session(default=False)
def oracle(session: nox.Session) -> None:
    """Read the operators of every torch from its macOS wheel: nox -s oracle -- --missing."""
    must_install(session, "-e", ".[oracle]")
    session.run("python", "tools/oracle.py", *session.posargs)


@nox.session(default=False)
def tests(session: nox.Session) -> None:
    """Test metalassay itself."""
    must_install(session, "-e", ".[tests]", *MATRIX["tests"]["requires"])
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Look at the report's page in a real browser; BROWSER_BINARY names another than PATH has."""
    must_install(session, "-e", ".[browser]")
    required = {"BROWSER_REQUIRED": "1"}  # without it, no browser is a skip
    session.run("pytest", "tests/report/test_report_browser.py", *session.posargs, env=required)


@nox.session(default=False)
def emulated(session: nox.Session) -> None:
    """Test the emulated mps on a CPU build of torch, against PyTorch's own list of failures too."""
    must_install(session, "-e", ".[bench,emulator]", *MATRIX["emulated"]["requires"])
    session.run("pytest", "tests_emulated", *session.posargs)
    session.run("python", "tools/emulator_opinfo.py")


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check format, style, types and workflows."""
    must_install(session, "-e", ".[lint]", *MATRIX["bench"]["requires"])
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("actionlint")
