"""Installed versions against known bugs. Reads package metadata; imports none of the packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from metalassay import bugs, versions
from metalassay.errors import UserError

_ASK = """
import json, platform, sys
from importlib import metadata
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """A known bug that applies to the versions installed; ``cures`` in the order to try them."""

    bug: str
    title: str
    installed: str
    affected: str
    link: str
    cures: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """``versions`` of the stack that are installed, and the known bugs that apply to them."""

    versions: Mapping[str, str]
    findings: tuple[Finding, ...]


def diagnose(installed: Mapping[str, str], ignored: Collection[str] = ()) -> Diagnosis:
    """Hold versions, by package name, against every known bug but the ``ignored`` ids.

    Raises ``UserError`` for an ignored id that does not exist: it would be a typo, or out of date.
    """
    unknown = sorted(set(ignored) - {bug.id for bug in bugs.load()})
    if unknown:
        raise UserError(f"known_bugs has no bug {unknown[0]!r}", "metalassay explain --list")
    findings = tuple(
        Finding(
            bug=bug.id,
            title=bug.title,
            installed=", ".join(
                f"{package} {installed[package]}"
                for package in sorted(bug.packages)
                if package in installed
            ),
            affected=bug.where_text(),
            link=bug.link,
            cures=bug.cures,
        )
        for bug in bugs.load()
        if bug.id not in ignored and bug.hits(installed)
    )
    return Diagnosis(dict(installed), findings)


def versions_of(python: str) -> dict[str, str]:
    """Return what is installed beside another interpreter, ``python``: a command or a path.

    Raises ``UserError`` when that is no Python that answers.
    """
    try:
        answer = subprocess.run(  # noqa: S603  (the user's own interpreter, no shell)
            [python, "-c", _ASK, *versions.STACK],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, json.JSONDecodeError) as error:
        raise UserError(
            f"{python}: not a Python interpreter that answers: {error}",
            "name one, as in: metalassay doctor --python .venv/bin/python",
        ) from None
    return {str(name): str(version) for name, version in found.items()}


def as_text(diagnosis: Diagnosis) -> str:
    """Lay a diagnosis out for a terminal."""
    listed = ", ".join(f"{name} {version}" for name, version in diagnosis.versions.items())
    lines = [f"Installed: {listed}", ""]
    for finding in diagnosis.findings:
        lines += [
            f"AFFECTED  {finding.title}",
            f"          {finding.installed} (affected: {finding.affected})",
            f"          {finding.link}",
            *(f"          {number}. {cure}" for number, cure in enumerate(finding.cures, 1)),
            "",
        ]
    known = len(bugs.load())
    lines.append(
        f"{len(diagnosis.findings)} of {known} known bugs apply here."
        if diagnosis.findings
        else f"None of the {known} known bugs applies to these versions."
    )
    return "\n".join(lines)
