"""A clone of this checkout in which the `run:` blocks of workflows run, without network and without the hours.

Everything runs as it stands but for what a network or hours would take, which these stand in for:

- `uv run …` runs the command in this Python, whose packages are those that uv would have fetched;
- `uvx … nox` asks the real nox whether it knows the sessions, and runs none;
- `metalassay matrix run` checks the rows and takes their files from docs/evidence, `metalassay bench` takes one from
  docs/results;
- the tools that install something (tools/ci_installed.py, `tools/ci_upstream.py run`) only parse their arguments: they
  have tests of their own;
- `gh` writes down what it was asked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import local_actions

ROOT = Path(__file__).parents[2]

_UV = """\
import json, os, pathlib, shutil, subprocess, sys
arguments = sys.argv[1:]
if arguments.pop(0) != "run":
    sys.exit("uv: only run is expected here")
while arguments[0].startswith("-"):
    option = arguments.pop(0)
    if option in ("--with", "--with-editable", "--python"):
        arguments.pop(0)
    elif option != "--no-project":
        sys.exit(f"uv: not expected: {option}")
command = arguments
with open(os.environ["STANDIN_LOG"], "a") as log:
    log.write(json.dumps(["uv", *command]) + "\\n")
def option(name):
    return pathlib.Path(command[command.index(name) + 1])
if command[:3] == ["metalassay", "matrix", "run"]:
    rows, output = command[3 : command.index("--output")], option("--output")
    asked = [sys.executable, "-m", "metalassay", "matrix", "list", *rows, "--json"]
    listed = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    output.mkdir(parents=True, exist_ok=True)
    for row in listed:
        kept = pathlib.Path("docs/evidence/compat", row["id"] + ".json")
        if kept.exists():
            record = json.loads(kept.read_text())
            record["hardware"]["chip"] = output.name.rpartition("-")[0]  # no two machines are one
            (output / kept.name).write_text(json.dumps(record))
    sys.exit()
if command[:2] == ["metalassay", "bench"]:
    option("--output").mkdir(parents=True, exist_ok=True)
    for path in pathlib.Path("docs/results").glob("*.json"):
        shutil.copy(path, option("--output"))
    command += ["--help"]
if command[1].endswith("ci_installed.py"):
    command += ["--help"]
if command[1].endswith("ci_upstream.py"):
    option("--output").mkdir(parents=True, exist_ok=True)
    shutil.copy("docs/evidence/compat/accelerate-1.9.0.json", option("--output") / f"{command[3]}.json")
    command += ["--help"]
start = {"python": [sys.executable], "metalassay": [sys.executable, "-m", "metalassay"]}[command[0]]
os.execv(start[0], [*start, *command[1:]])
"""

_UVX = """\
import json, os, subprocess, sys
arguments = sys.argv[1:]
while arguments[0] != "nox":
    if arguments.pop(0) not in ("--python", "--with"):
        sys.exit(f"uvx: not expected: {arguments}")
    arguments.pop(0)
with open(os.environ["STANDIN_LOG"], "a") as log:
    log.write(json.dumps(arguments) + "\\n")
sys.exit(subprocess.run([sys.executable, "-m", *arguments, "--list"]).returncode)
"""

_GH = """\
import json, os, sys
with open(os.environ["STANDIN_LOG"], "a") as log:
    log.write(json.dumps(["gh", *sys.argv[1:]]) + "\\n")
"""


class Clone:
    """The clone in ``folder``/clone, and what jobs leave beside it: artifacts, and the log of stand-ins."""

    def __init__(self, folder: Path) -> None:
        """Copy what git knows of, and what it does not ignore, as it stands in the working tree."""
        self.folder, self.artifacts = folder / "clone", folder / "artifacts"
        self.log, self._tools = folder / "standins.jsonl", folder / "bin"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "The working tree")
        self._files = set(self.folder.rglob("*"))
        self.log.touch()
        self.artifacts.mkdir()
        self._tools.mkdir()
        scripts = {"uv": _UV, "uvx": _UVX, "gh": _GH, "python3": "", "python": ""}
        for name, code in scripts.items():
            tool = self._tools / name
            if code:
                tool.write_text(f"#!{sys.executable} -P\n{code}", "utf-8")
            else:
                tool.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', "utf-8")
            tool.chmod(0o755)

    def asked(self) -> list[list[str]]:
        """Return what the stand-ins were asked for."""
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]

    def git(self, *arguments: str) -> None:
        """Run git in the clone."""
        who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.invalid"]
        command = ["git", *who, "-c", "core.excludesFile=/dev/null", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def _as_checked_out(self) -> None:
        """Remove what earlier jobs left: each has a machine of its own."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path not in self._files and not {".git", "__pycache__"} & {*path.parts}:
                (path.rmdir if path.is_dir() else path.unlink)()

    def workflow(self, name: str) -> dict[str, Any]:
        """Return a workflow of the clone."""
        return local_actions.read(self.folder / ".github" / "workflows" / f"{name}.yml")

    def job(
        self,
        workflow: str,
        name: str,
        *,
        system: str = "Linux",
        environment: Mapping[str, str] | None = None,
        tools: str = "",
        **contexts: Any,
    ) -> local_actions.Job:
        """Run one job and return it. ``contexts`` are matrix, needs, inputs and github, as far as they matter.

        ``tools`` is a folder of programs, behind the stand-ins and before those of the system.
        """
        self._as_checked_out()
        github = {
            "ref": "refs/heads/main",
            "ref_name": "main",
            "workflow": workflow,
            "repository": "someone/metalassay",
            "token": "a-token",
            "event": {},
            **contexts.pop("github", {}),
        }
        shown = {
            "inputs": {},
            "matrix": {},
            "needs": {},
            "runner": {"os": system},
            "github": github,
        }
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("GITHUB_", "PYTEST_")) and key != "PYTHONPATH"
        }
        one = local_actions.Job(
            self.folder,
            {**shown, **contexts},
            self._actions(),
            {
                **kept,
                "PATH": os.pathsep.join(
                    filter(None, [str(self._tools), tools, os.environ["PATH"]])
                ),
                "PYTHONPATH": str(self.folder / "src"),
                "STANDIN_LOG": str(self.log),
                "GITHUB_ACTIONS": "true",
                "CI": "true",
                **(environment or {}),
            },
        )
        return local_actions.run_job(self.workflow(workflow), name, one)

    def _actions(self) -> dict[str, local_actions.Uses]:
        def nothing(_: local_actions.Job, __: Mapping[str, str]) -> Mapping[str, str]:
            return {}

        def upload(_: local_actions.Job, given: Mapping[str, str]) -> Mapping[str, str]:
            source, target = self.folder / given["path"], self.artifacts / given["name"]
            if given["path"] == "." or not source.exists():
                return {}
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
            return {}

        def download(_: local_actions.Job, given: Mapping[str, str]) -> Mapping[str, str]:
            target = self.folder / given.get("path", ".")
            for artifact in self.artifacts.glob(given.get("pattern", given.get("name", "*"))):
                place = target / artifact.name if "pattern" in given else target
                shutil.copytree(artifact, place, dirs_exist_ok=True)
            return {}

        return {
            "actions/attest": nothing,
            "actions/cache": nothing,
            "actions/checkout": nothing,
            "actions/download-artifact": download,
            "actions/upload-artifact": upload,
            "astral-sh/setup-uv": nothing,
            "hynek/build-and-inspect-python-package": nothing,
            "pypa/gh-action-pypi-publish": nothing,
        }
