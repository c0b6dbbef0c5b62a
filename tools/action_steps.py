"""The steps of the action in .github/actions/mps. Standard library only: it runs in the runner's own Python.

python3 tools/action_steps.py install|verdicts|tests

They run in the folder of the package; the values come in variables, see action.yml. A verdict that differs from our
catalogue is our mistake and no failure of the package; a test that fails is one.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import ci_outputs

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT, VERDICTS, TESTS, RESULT = "environment", "verdicts.json", "tests.xml", "result.json"
LONGEST_MESSAGE = 200  # characters
LONGEST = 20  # names of failed tests on the job's page


def install(values: Mapping[str, str]) -> int:
    """Install the package, the versions and metalassay together, so that they must agree."""
    base = values.get("RUNNER_TEMP") or None
    folder = Path(tempfile.mkdtemp(prefix="metalassay-", dir=base))
    backend = {"UV_TORCH_BACKEND": values["TORCH_BACKEND"]} if values["TORCH_BACKEND"] else {}
    environment = {**values, **backend}
    place = folder / ENVIRONMENT
    commands = (
        ["uv", "venv", "--quiet", "--python", values["PYTHON_VERSION"], str(place)],
        [
            *("uv", "pip", "install", "--python", str(place / "bin" / "python")),
            *shlex.split(values["PACKAGE"]),
            *shlex.split(values["VERSIONS"]),
            f"{ROOT}[compat,emulator]",
        ],
    )
    for command in commands:
        if code := subprocess.run(command, env=environment, check=False).returncode:
            ci_outputs.notice("error", "the package cannot be installed with these versions")
            return code
    _write_value("folder", str(folder))
    return 0


def verdicts(values: Mapping[str, str]) -> int:
    """Test the known bugs of the installed versions, and say which are there."""
    folder = Path(values["FOLDER"])
    command = [str(folder / ENVIRONMENT / "bin" / "metalassay"), "check", "--json", "--quiet"]
    done = subprocess.run(
        [*command, "-o", str(folder / VERDICTS)],
        env=_environment(values, folder),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        ci_outputs.notice("error", f"metalassay check ended with {done.returncode}")
        return 1
    answer = json.loads(done.stdout)
    bugs = {bug["id"]: bug for bug in answer["verdicts"]["bugs"]}
    words = [bug["verdict"] for bug in bugs.values()]
    counts = {word: words.count(word) for word in sorted(set(words))}
    _keep(folder, versions=answer["verdicts"]["versions"], verdicts=counts, here=answer["here"])
    if answer["red"]:
        red = ", ".join(answer["red"])
        ci_outputs.notice("warning", f"metalassay's catalogue is wrong about: {red}")
    lines = [f"- `{each}`: {bugs[each]['title']}" for each in answer["here"]]
    ci_outputs.summary(
        "### Known bugs that these versions have\n\n"
        + ("\n".join(lines) or "None that was tested.")
    )
    return 0


def tests(values: Mapping[str, str]) -> int:
    """Run the tests with the emulated device; return how they ended."""
    folder = Path(values["FOLDER"])
    emulate = f"--emulate-mps={values['EMULATE']}" if values["EMULATE"] else "--emulate-mps"
    report = folder / TESTS
    options = [values.get("PYTEST_ADDOPTS", ""), emulate, f"--junitxml={shlex.quote(str(report))}"]
    environment = _environment(values, folder) | {"PYTEST_ADDOPTS": " ".join(filter(None, options))}
    began = time.monotonic()
    # The command is the caller's own, in the caller's own workflow.
    done = subprocess.run(["bash", "-c", values["TESTS"]], env=environment, check=False)  # noqa: S607
    seconds = round(time.monotonic() - began, 1)
    if not report.exists():
        ci_outputs.notice(
            "error", "no pytest of the environment has run: nothing was tested on mps"
        )
        return done.returncode or 1
    counts, why = read(report)
    _keep(folder, tests=counts, failed=why, seconds=seconds)
    for name in ("passed", "failed"):
        _write_value(name, str(counts[name]))
    shown = "\n".join(f"- `{name}`: {_quoted(why[name])}" for name in list(why)[:LONGEST])
    more = f"\n- and {len(why) - LONGEST} more" if len(why) > LONGEST else ""
    told = ", ".join(f"{number} {word}" for word, number in counts.items())
    ci_outputs.summary(
        f"### Tests on the emulated mps\n\n{told}, in {seconds:.0f} s\n\n{shown}{more}"
    )
    if not counts["passed"] and not counts["failed"]:
        ci_outputs.notice("error", "no test has run: nothing was tested on mps")
        return done.returncode or 1
    return done.returncode


def read(report: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Return how many tests passed, failed and were skipped in a JUnit file, and why each failed, by its name."""
    counts: dict[str, int] = {"passed": 0, "failed": 0, "skipped": 0}
    why: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  (their pytest wrote it)
        ends = [each for each in case if each.tag in ("failure", "error")]
        if ends:
            counts["failed"] += 1
            message = " ".join(str(ends[0].get("message")).split())
            why[f"{case.get('classname')}.{case.get('name')}"] = message[:LONGEST_MESSAGE]
        else:
            counts["skipped" if case.find("skipped") is not None else "passed"] += 1
    return counts, why


def _quoted(message: str) -> str:
    harmless = message.replace("`", "'")
    return f"`{harmless}`"


def _environment(values: Mapping[str, str], folder: Path) -> dict[str, str]:
    place = folder / ENVIRONMENT
    kept = {key: value for key, value in values.items() if key not in ("PYTHONHOME", "PYTHONPATH")}
    return kept | {
        "VIRTUAL_ENV": str(place),
        "PATH": f"{place / 'bin'}{os.pathsep}{values['PATH']}",
    }


def _keep(folder: Path, **fields: Any) -> None:
    path = folder / RESULT
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | fields, indent=1) + "\n", "utf-8")


def _write_value(name: str, value: str) -> None:
    # Not as JSON: these outputs are text for those who use the action.
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"{name}={value}\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one step."""
    steps = {"install": install, "verdicts": verdicts, "tests": tests}
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0] not in steps:
        sys.exit(f"action_steps: one of {', '.join(steps)}")
    return steps[given[0]](os.environ)


if __name__ == "__main__":
    sys.exit(main())
