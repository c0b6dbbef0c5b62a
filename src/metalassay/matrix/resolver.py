"""Asks uv's resolver which rows of the matrix can be installed, and reads what an installer prints.

noxfile.py imports this module in nox's own environment: it takes the standard library only.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metalassay.errors import UserError
from metalassay.fields import one_line
from metalassay.matrix.matrix_file import Row

PLATFORMS = {
    "Linux x86_64": "x86_64-manylinux_2_28",
    "macOS 14 arm64": "aarch64-apple-darwin",
}
"""The names of the platforms, ours and uv's."""

# uv assumes macOS 13 otherwise, and torch has had no wheel for macOS below 14 since 2.12.
_MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}


@dataclass(frozen=True)
class Failure:
    """Why resolving or installing failed; only a ``conflict`` is a fact about the packages."""

    why: str
    conflict: bool = False


@dataclass(frozen=True)
class Resolution:
    """The resolver's answer for a row, on a platform with a ``python`` such as "3.11".

    It has the ``versions`` that it chose, or ``why`` it cannot.
    """

    row: str
    platform: str
    python: str
    versions: Mapping[str, str]
    why: str


def lock(
    requirements: Iterable[str], python: Path, options: Sequence[str] = ()
) -> tuple[str, ...] | Failure:
    """Choose a version of every package that the requirements need, for an interpreter on this machine.

    Returns sorted lines such as ``accelerate==1.8.0``. Downloads no package. ``options`` are more of uv's.
    Raises ``UserError`` when uv is not installed.
    """
    quiet = ["--quiet", "--no-header", "--no-annotate"]
    done = run_uv(
        ["pip", "compile", "-", *quiet, "--python", str(python), *options],
        stdin="\n".join(requirements),
    )
    if isinstance(done, Failure):
        return done
    lines = (line.strip() for line in done.splitlines())
    return tuple(sorted(line for line in lines if line and not line.startswith(("#", "-"))))


def run_uv(
    arguments: Sequence[str], stdin: str = "", timeout: float = 3600, keep_open: Sequence[int] = ()
) -> str | Failure:
    """Run uv with pip's find-links; return what it prints to stdout, or why it failed, as ``run`` does."""
    done = run(arguments, stdin, timeout, keep_open)
    return done if isinstance(done, Failure) else done.stdout


def run(
    arguments: Sequence[str], stdin: str = "", timeout: float = 3600, keep_open: Sequence[int] = ()
) -> subprocess.CompletedProcess[str] | Failure:
    """Run uv with pip's find-links; return how it ended well, or why it failed.

    ``timeout`` is in seconds. ``keep_open`` are file descriptors that uv inherits, so that the locks on
    them last as long as uv does. Raises ``UserError`` when uv is not installed.
    """
    try:
        done = subprocess.run(  # noqa: S603  (uv itself, no shell)
            [program(), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment(for_uv()),
            pass_fds=tuple(keep_open),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failure(f"uv did not finish within {timeout:.0f} s")
    if done.returncode == 0:
        return done
    if done.returncode < 0:
        return Failure(f"uv was ended by signal {-done.returncode}")
    why = conflict(done.stderr)
    return Failure(failure_reason(done.stderr)) if why is None else Failure(why, conflict=True)


def program() -> str:
    """Return the path of uv: the one beside this interpreter, else the one on PATH.

    What PATH has may be a shim, which takes longer than uv itself. Raises ``UserError`` when uv is not
    installed.
    """
    beside = Path(sysconfig.get_path("scripts"), "uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        raise UserError("uv is not installed", "python3 -m pip install uv")
    return uv


def resolve(row: Row, platform: str, python: str) -> Resolution:
    """Resolve a row of matrix.toml for one of ``PLATFORMS`` and a Python, whatever machine this runs on.

    Only wheels count: a user's machine need not compile anything. Downloads no package. Raises ``UserError`` when uv is not installed or does not answer within two
    minutes.
    """
    uv = program()
    try:
        done = subprocess.run(  # noqa: S603  (uv itself, no shell)
            [
                uv,
                "pip",
                "compile",
                "-",
                "--quiet",
                "--no-header",
                "--no-annotate",
                "--no-build",
                "--python-version",
                python,
                "--python-platform",
                PLATFORMS[platform],
            ],
            input="\n".join(row.requires),
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **_MACOS},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"uv did not resolve {row.id} within two minutes", "check the network, then try again"
        ) from None
    if done.returncode == 0:
        pins = re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE)
        return Resolution(row.id, platform, python, dict(pins), "")
    why = conflict(done.stderr)
    if why is None:
        raise UserError(
            f"uv could not resolve {row.id}: {failure_reason(done.stderr)[:200]}; that says nothing"
            " about the row",
            "check the network and the index, then try again",
        )
    return Resolution(row.id, platform, python, {}, why)


def conflict(output: str) -> str | None:
    """Return the resolver's explanation if requirements contradict each other, else None.

    Only that is a fact about the packages. Everything else that an installer reports (a connection, a
    time-out, a full disk, a package that fails to build) is a fact about this machine today, and so is
    "not found in the package registry", which an index answers that is down or behind a login page.
    """
    uv = "No solution found when resolving" in output
    pip = "ResolutionImpossible" in output
    if not (uv or pip) or any(sign in output for sign in _NO_ANSWER):
        return None
    reason = failure_reason(output)
    if _MISSING.search(reason):
        return None  # an index that is incomplete or old says that, and every version was released once
    return reason if any(word in reason for word in _CONTRADICTION) else None


# What uv and pip print when the index did not answer as an index does.
_NO_ANSWER = (
    "Failed to fetch",
    "Failed to download",
    "could not be queried",
    "not found in the package registry",
    "not found in the cache",
    "network was disabled",
    "Retrying (",
)
_MISSING = re.compile(
    r"there (?:are|is) no versions? of|\bonly .{1,200}? (?:is|are) available", re.IGNORECASE
)
# A missing version alone is no contradiction: every version of the matrix was released once.
_CONTRADICTION = (
    "depends on",
    "depend on",
    "conflicting dependencies",
    "matching Python",
    "wheels with",
)


def failure_reason(output: str) -> str:
    """Return the sentence in the output of uv or pip that explains why it failed."""
    if full := re.search(
        r"failed to copy file from [^\n]+? to ([^\n]+): No space left on device", output
    ):
        return f"no space is left on the disk of {full[1].partition('/lib/')[0]}"
    if "No space left on device" in output:
        return (
            "no space is left on the disk of the environment, the cache of uv, or temporary files"
        )
    explanation = re.search(r"(?:╰─▶|cause:) (.+?)(?:\n\s*\n|\n\S|\Z)", output, re.DOTALL)
    if explanation:
        return one_line(explanation[1])
    errors = re.findall(r"^(?:error|ERROR): (?!ResolutionImpossible)(.+)$", output, re.MULTILINE)
    lines = errors or output.strip().splitlines()
    return one_line(lines[-1]) if lines else "the installer failed without a message"


BACKEND = "UV_TORCH_BACKEND"


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment with ``changes``, of which None removes a variable."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def for_uv() -> dict[str, str | None]:
    """Return the variables with which uv installs the versions under test; None removes one.

    pip's find-links, and on Linux without a GPU of NVIDIA the CPU builds of torch: those on the index are for
    CUDA, and ten times as large. Where PyTorch's own index cannot be reached, what pip and uv are configured to use
    counts, also if UV_TORCH_BACKEND says "cpu".
    """
    changes: dict[str, str | None] = {**pip_find_links()}
    asked = os.environ.get(BACKEND)
    if sys.platform != "linux" or asked not in (None, "cpu"):
        return changes
    if asked is None and shutil.which("nvidia-smi"):
        return changes
    with _ASKING_UV:
        reached = _reaches_cpu_builds()
    return changes | {BACKEND: "cpu" if reached else None}


_ASKING_UV = threading.Lock()
_PATIENCE = 10.0  # seconds that PyTorch's index may take to answer


@functools.cache
def _reaches_cpu_builds() -> bool:
    """Return whether uv can resolve a CPU build of torch; asked once, which takes a second."""
    command = [program(), "pip", "compile", "-", "--quiet", "--no-deps", "--torch-backend", "cpu"]
    quick = {"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5", BACKEND: None}
    try:
        done = subprocess.run(  # noqa: S603  (uv itself, no shell)
            command,
            input="torch",
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            env=environment({**pip_find_links(), **quick}),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def pip_find_links() -> dict[str, str]:
    """Return the variable that passes pip's configured find-links on to uv, which reads no pip.conf.

    Empty when there are none, and when UV_FIND_LINKS is set already.
    """
    if "UV_FIND_LINKS" in os.environ:
        return {}
    with _ASKING_PIP:  # pip takes half a second: the first thread asks, the others use its answer
        configuration = _pip_configuration()
    values = re.findall(r"^[\w:]+\.find-links=(.+)$", configuration, re.MULTILINE)
    links = dict.fromkeys(link for value in values for link in ast.literal_eval(value).split())
    return {"UV_FIND_LINKS": ",".join(links)} if links else {}


_ASKING_PIP = threading.Lock()


@functools.cache
def _pip_configuration() -> str:
    for pip in ([sys.executable, "-P", "-m", "pip"], [shutil.which("pip3") or "pip"]):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return subprocess.check_output(  # noqa: S603  (pip itself, no shell)
                [*pip, "config", "list"], text=True, stderr=subprocess.DEVNULL
            )
    return ""
