"""Record the terminals of docs/run.md again, by running the commands that are shown there.

    python tools/run_page.py --old PYTHON --new PYTHON [--only TEXT]

``--old`` is the Python of an environment with accelerate 1.8.0 and TRL 0.18, ``--new`` that of one with
accelerate 1.15 and TRL 1.x (`nox -s "compat(boundary-1.8.0)"` makes the first). A recorded block is

    <!-- recorded: ENVIRONMENT: LINES: COMMAND -->

followed by a block of text, which is replaced: ENVIRONMENT is "old", "new" or "own" (the Python that runs
this tool), LINES is how many of the last lines to show ("all" for each). Programs come from docs/run/.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "run.md"
BLOCK = re.compile(
    r"(?P<mark><!-- recorded: (?P<environment>\w+): (?P<lines>\w+): (?P<command>.+?) -->\n)"
    r"```text\n.*?```\n",
    re.DOTALL,
)


def record(environment: Path, command: str, folder: Path) -> str:
    """Return what a command prints in a terminal of 80 columns, without the paths of this machine."""
    tools = folder / "tools"
    shutil.rmtree(tools, ignore_errors=True)
    tools.mkdir()
    command_line = tools / "metalassay"
    command_line.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m metalassay "$@"\n')
    command_line.chmod(0o755)
    path = os.pathsep.join((str(tools), str(environment.parent), os.environ["PATH"]))
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": path,
            "COLUMNS": "80",
            "VIRTUAL_ENV": str(environment.parents[1]),
            "HF_HUB_OFFLINE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    text = done.stdout
    for found, shown in (
        (str(folder), "."),
        (str(environment.parents[1]), ".venv"),
        (str(ROOT / "src"), "site-packages"),
        (str(Path(sys.executable).parents[1]), ".venv"),
        (sysconfig.get_path("stdlib"), "python3"),
    ):
        text = text.replace(found, shown)
    text = re.sub(r"(?m)^.*\r(?!\n)", "", text).rstrip()
    return f"{text}\n$ echo $?\n{done.returncode}"


def shown(text: str, lines: str) -> str:
    """Return the last lines of a text, with a mark for those that were left out."""
    rows = text.split("\n")
    if lines != "all" and len(rows) > int(lines):
        rows = ["[...]", *rows[-int(lines) :]]
    return "\n".join(rows)


def main() -> int:
    """Replace the recorded blocks of the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    environments = {
        "old": options.old.absolute(),
        "new": options.new.absolute(),
        "own": Path(sys.executable),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for program in (ROOT / "docs" / "run").glob("*.py"):
            shutil.copy(program, folder)

        def again(match: re.Match[str]) -> str:
            command = match["command"]
            if options.only not in command:
                return match[0]
            print(command, flush=True)
            text = record(environments[match["environment"]], command, folder)
            return f"{match['mark']}```text\n$ {command}\n{shown(text, match['lines'])}\n```\n"

        page = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(again, page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
