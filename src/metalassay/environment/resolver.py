"""Which rows of the matrix can be installed where, asked of uv's resolver: nothing is downloaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metalassay.errors import UserError

PLATFORMS = {
    "Linux x86_64": "x86_64-manylinux_2_28",
    "macOS 14 arm64": "aarch64-apple-darwin",
}
"""What we call a platform, and what uv calls it."""

# uv assumes macOS 13 otherwise, and torch has had no wheel below macOS 14 since 2.12.
_MACOS = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}


@dataclass(frozen=True)
class Resolution:
    """What the resolver said of a row on a platform: ``versions`` it chose, or ``why`` it cannot."""

    row: str
    platform: str
    versions: Mapping[str, str]
    why: str


def resolve(row: Mapping[str, Any], platform: str, find_links: str | None = None) -> Resolution:
    """Resolve a row of matrix.toml for one of ``PLATFORMS``, on whatever machine this runs.

    ``find_links`` are further folders of wheels, as in UV_FIND_LINKS. Raises ``UserError`` when uv
    is not installed or does not answer in two minutes.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise UserError("uv is not installed", "python3 -m pip install uv")
    python = row.get("python") or "{}.{}".format(*sys.version_info)
    environment = {**os.environ, **_MACOS}
    if find_links:
        environment["UV_FIND_LINKS"] = find_links
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
                "--python-version",
                python,
                "--python-platform",
                PLATFORMS[platform],
            ],
            input="\n".join(row["requires"]),
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"uv did not resolve {row['id']} in two minutes", "look at the network, then try again"
        ) from None
    if done.returncode == 0:
        pins = re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE)
        return Resolution(row["id"], platform, dict(pins), "")
    return Resolution(row["id"], platform, {}, sentence(done.stderr))


def sentence(output: str) -> str:
    """Find, in what uv printed, the sentence that says why there is no solution."""
    found = re.search(r"(?:╰─▶|cause:) (.+?)(?:\n\s*\n|\n\S|\Z)", output, re.DOTALL)
    lines = [found[1]] if found else output.strip().splitlines()[-1:]
    return " ".join((lines or ["uv failed and said nothing"])[0].split())
