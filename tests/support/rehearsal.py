"""Run our commands as on a given Mac: a rehearsal, not a measurement.

    mac = rehearsal.Rehearsal("m4", tmp_path)
    done = mac.metalassay("doctor")       # or mac.run(["pytest", ...]), mac.python("import sys; ...")
    assert "Apple M4" in done.stdout

The child process and every process that it starts believe that they run on the Mac that
tests/rehearsal/macs/NAME.toml describes: see tests/rehearsal/pretence/as_mac. Each run fails if our code
did what no Mac can do, such as to read /proc, even if that was caught: ``Violations``.

Results that such a run writes name the Mac and were measured here. Those of mps say that they are emulated;
those of the CPU do not, so all of them stay in the run's folder, where REHEARSAL.txt says what they are.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "rehearsal"
PRETENCE = FOLDER / "pretence"
NAMES = ("m4", "m4pro", "m1", "rosetta", "vm", "m5")
QUICK = NAMES[:2]  # the others are marked slow
HEAD = "REHEARSAL: not a Mac, no measurement"

# As when this file was imported: tests of the command line give themselves an empty cache, in which the
# emulator would be built again.
_CACHE = {name: os.environ[name] for name in ("XDG_CACHE_HOME",) if name in os.environ}

# Where macOS has its tools.
PLACES = {
    "caffeinate": "/usr/bin",
    "ioreg": "/usr/sbin",
    "memory_pressure": "/usr/bin",
    "notifyutil": "/usr/bin",
    "pmset": "/usr/bin",
    "powermetrics": "/usr/bin",
    "sudo": "/usr/bin",
    "sw_vers": "/usr/bin",
    "sysctl": "/usr/sbin",
    "system_profiler": "/usr/sbin",
    "taskpolicy": "/usr/sbin",
    "top": "/usr/bin",
    "vm_stat": "/usr/bin",
}


class Violations(AssertionError):  # noqa: N818  (what went wrong, not an error of the harness)
    """Our code did what no Mac can do, or what the rehearsal does not describe; one per line."""


def read(name: str) -> dict[str, Any]:
    """Return the facts of a Mac from its file."""
    return tomllib.loads((FOLDER / "macs" / f"{name}.toml").read_text("utf-8"))


@functools.cache
def emulator_missing() -> str | None:
    """Build the emulated mps once; return why that is impossible here, or None.

    Without it the Macs have a torch without MPS, and a test that needs mps should be skipped.
    """
    code = (
        "import sys\n"
        "from metalassay.errors import UserError\n"
        "from metalassay.mps.emulator import build\n"
        "try: build.load()\n"
        "except UserError as error: sys.exit(error.message)\n"
    )
    environment = {**_inherited(), "PYTHONPATH": _joined(str(ROOT / "src"), "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it failed"])[-1]


def _inherited() -> dict[str, str]:
    """Return this process's environment with the cache that it began with."""
    return {**{k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"}, **_CACHE}


def _joined(first: str, variable: str) -> str:
    return os.pathsep.join(filter(None, [first, os.environ.get(variable, "")]))


@dataclass
class Rehearsal:
    """A Mac to run commands on. ``folder`` holds its tools, and is the working directory.

    With ``mps`` False the Mac's torch has no MPS, which saves the emulator where no device is needed.
    """

    name: str
    folder: Path
    mps: bool = True
    facts: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Write what the child processes read."""
        self.facts = read(self.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "REHEARSAL.txt").write_text(f"{HEAD}\n{self.facts['title']}\n", "utf-8")
        self.log = self.folder / "rehearsal-violations.jsonl"
        tools = self.folder / "rehearsal-tools"
        tools.mkdir(parents=True, exist_ok=True)
        script = f"#!{sys.executable} -IS\n" + (PRETENCE / "tool.py").read_text("utf-8")
        places = {}
        for tool, place in PLACES.items():
            (tools / tool).write_text(script, "utf-8")
            (tools / tool).chmod(0o755)
            places[f"{place}/{tool}"] = str(tools / tool)
        self.facts |= {"id": self.name, "began": time.time(), "tools": places}
        if not self.mps:
            self.facts["mps"]["state"] = "absent"
        self.file = self.folder / "rehearsal-mac.json"
        self.file.write_text(json.dumps(self.facts), "utf-8")

    @property
    def chip(self) -> str:
        """The brand string of the processor."""
        return str(self.facts["sysctl"]["machdep.cpu.brand_string"])

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which a process and its children are on this Mac."""
        places = [str(PRETENCE), str(ROOT / "src")]
        if inherited := os.environ.get("PYTHONPATH"):
            places.append(inherited)
        kept = {
            name: value
            for name, value in _inherited().items()
            # A Mac's user has set none of these; PYTEST_* would leak the outer run into an inner one.
            if not name.startswith(("PYTEST_", "PYTORCH_", "GITHUB_", "MALLOC_")) and name != "CI"
        }
        emulator = self.facts["mps"]["state"] != "absent" and emulator_missing() is None
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(places),
            "PATH": _joined(str(self.folder / "rehearsal-tools"), "PATH"),
            "COLUMNS": "80",
            # By its place: a test that gives a child another home must not have the emulator built there.
            "XDG_CACHE_HOME": _CACHE.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
            "METALASSAY_REHEARSAL": str(self.file),
            "METALASSAY_REHEARSAL_LOG": str(self.log),
            "METALASSAY_REHEARSAL_EMULATOR": "1" if emulator else "0",
            **(extra or {}),
        }

    def run(
        self,
        command: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 300,
        allow: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended. Raises ``Violations`` unless ``allow`` is True."""
        self.log.unlink(missing_ok=True)
        program = shutil.which(command[0], path=self.environment()["PATH"]) or command[0]
        done = subprocess.run(
            [program, *command[1:]],
            input=stdin,
            env=self.environment(env),
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if not allow and (found := self.violations()):
            shown = "\n".join(
                f"{each['event']}: {each['what']} in {each['where']}" for each in found
            )
            raise Violations(f"{' '.join(command)}\n{shown}\n{done.stdout}{done.stderr}")
        return done

    def python(self, code: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run Python code, which sees the Mac as a user's program does."""
        return self.run([sys.executable, "-c", code], **options)

    def metalassay(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command of metalassay."""
        return self.run([sys.executable, "-m", "metalassay", *arguments], **options)

    def pytest(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run pytest in the checkout; its cache goes to the Mac's folder."""
        cache = f"cache_dir={self.folder / 'pytest-cache'}"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-o", cache]
        return self.run([*command, *arguments], cwd=ROOT, **options)

    def violations(self) -> list[dict[str, Any]]:
        """Return what the last run did that no Mac can do."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]


@dataclass(frozen=True)
class Seen:
    """What our code sees of a Mac in one process: see tests/rehearsal/conftest.py."""

    described: str
    before: dict[str, Any]
    flags: list[str]
    swapped_out: list[int | None]
    burnt: float
