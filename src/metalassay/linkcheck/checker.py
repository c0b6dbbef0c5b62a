"""Run a static type checker over some files beside a folder of packages, and read what it prints.

Nothing of the packages is imported. ty is the one in the extra ``link``; the others were compared
with it, and are understood as well.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError, reason

CHECKERS = ("ty", "pyrefly", "basedpyright")
TIMEOUT = 300  # seconds
_LINE = re.compile(
    r"^(?P<path>.+?):(?P<line>\d+):\d+: (?:error|warning)\[(?P<rule>[\w-]+)\] (?P<message>.*)$"
)
_PYREFLY = re.compile(
    r"^(?:ERROR|WARN) (?P<path>.+?):(?P<line>\d+):\d+(?:-[\d:]+)?: (?P<message>.*) \[(?P<rule>[\w-]+)\]$"
)


@dataclass(frozen=True)
class Diagnostic:
    """One line of a checker: the file below the folder of packages, the line, the rule, the message."""

    path: str
    line: int
    rule: str
    message: str


def find() -> str | None:
    """Return the path of ty beside this interpreter or on PATH; None if it is not installed."""
    beside = Path(sys.executable).parent
    return shutil.which("ty", path=str(beside)) or shutil.which("ty")


def run(program: str, site: Path, files: Sequence[Path]) -> tuple[Diagnostic, ...]:
    """Check ``files``, which are below the folder of packages ``site``.

    Raises ``UserError`` when the checker cannot be run, or ends without an answer.
    """
    if not files:
        return ()
    name = Path(program).stem
    with tempfile.TemporaryDirectory(prefix="metalassay-link-") as folder:
        command, read = _COMMANDS[name](Path(folder), site)
        try:
            done = subprocess.run(  # noqa: S603  (the checker that the user installed, no shell)
                [program, *command, *map(str, files)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise UserError(f"{program} does not run: {reason(error)}", _NEXT) from None
    if done.returncode not in (0, 1):
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise UserError(f"{program} ended with {done.returncode}: {' '.join(last)}", _NEXT)
    return tuple(read(done.stdout, site))


_NEXT = "pip install 'metalassay[link]' again, or use --no-checker"


def _relative(path: str, site: Path) -> str:
    for root in (site, site.resolve()):
        if path.startswith(f"{root}/"):
            return path.removeprefix(f"{root}/")
    return path


def _lines(pattern: re.Pattern[str], text: str, site: Path) -> Iterator[Diagnostic]:
    for line in text.splitlines():
        if found := pattern.match(line):
            path = _relative(found["path"], site)
            yield Diagnostic(path, int(found["line"]), found["rule"], found["message"])


Reader = Callable[[str, Path], Iterator[Diagnostic]]


def _ty(folder: Path, site: Path) -> tuple[list[str], Reader]:
    command = [
        "check", "--project", str(folder), "--output-format", "concise", "--exit-zero", "--no-progress",
        "--extra-search-path", str(site),
    ]  # fmt: skip
    return command, lambda text, site: _lines(_LINE, text, site)


def _pyrefly(folder: Path, site: Path) -> tuple[list[str], Reader]:
    command = [
        "check", "--search-path", str(site), "--output-format", "min-text", "--threads", "1",
        "--check-unannotated-defs", "true", "--summary", "none",
    ]  # fmt: skip
    return command, lambda text, site: _lines(_PYREFLY, text, site)


def _basedpyright(folder: Path, site: Path) -> tuple[list[str], Reader]:
    settings = {
        "extraPaths": [str(site)], "typeCheckingMode": "standard", "reportMissingImports": "error",
        "useLibraryCodeForTypes": True,
    }  # fmt: skip
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    return ["--outputjson"], _pyright_json


def _pyright_json(text: str, site: Path) -> Iterator[Diagnostic]:
    for each in json.loads(text)["generalDiagnostics"]:
        if each["severity"] == "error":
            message = " ".join(each["message"].split())
            path = _relative(each["file"], site)
            yield Diagnostic(
                path, each["range"]["start"]["line"] + 1, each.get("rule", ""), message
            )


_COMMANDS: dict[str, Callable[[Path, Path], tuple[list[str], Reader]]] = {
    "ty": _ty,
    "pyrefly": _pyrefly,
    "basedpyright": _basedpyright,
}
