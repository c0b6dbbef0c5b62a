"""Every distribution that an environment has: versions, requirements, files, read by its own Python."""

from __future__ import annotations

import csv
import importlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.markers import InvalidMarker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from metalassay import safe_path
from metalassay.errors import UserError, reason
from metalassay.fields import Field, FieldError, parse_json

_ASK = (
    safe_path.DROP
    + """
import csv, json, os, re, sysconfig
from importlib import metadata
found = {}
for each in metadata.distributions():
    place = getattr(each, "_path", None)  # of a folder; one in an archive has no files to wait for
    if any(os.path.lexists(str(place / n)) and not os.path.isfile(str(place / n))
           for n in ("METADATA", "PKG-INFO", "RECORD", "direct_url.json", "INSTALLER") if os.path.isdir(str(place))):
        continue
    try:
        name = re.sub("[-_.]+", "-", each.metadata["Name"] or "").lower()
        version = each.version or ""
        requires = each.requires or []
        direct = each.read_text("direct_url.json") or ""
        installer = (each.read_text("INSTALLER") or "").strip()
    except (KeyError, TypeError, AttributeError, ValueError, OSError):
        continue  # what an interrupted install has left
    if not name or name in found:
        continue
    try:
        files = [str(file.locate()) for file in each.files or ()]
    except (ValueError, csv.Error):
        files = []
    found[name] = {
        "name": name,
        "version": version,
        "requires": requires,
        "direct": direct,
        "installer": installer,
        "folder": str(each.locate_file("")),
        "files": [os.path.normpath(file) for file in files],
    }
from platform import python_version
print(json.dumps({
    "prefix": sys.prefix,
    "python": python_version(),
    "folders": [sysconfig.get_path(name) for name in ("purelib", "platlib", "scripts")],
    "found": list(found.values()),
}))
"""
)


@dataclass(frozen=True)
class Distribution:
    """One distribution: its ``version``, its ``requires`` (PEP 508), and the files that it installed.

    ``direct`` is how it was installed if not by name and version: the text of direct_url.json. ``folder``
    is where its metadata are.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    direct: str
    installer: str
    folder: str
    files: tuple[str, ...]

    @property
    def line(self) -> str:
        """Return it as a line of requirements.txt."""
        if not self.direct:
            return f"{self.name}=={self.version}"
        try:
            origin = parse_json(self.direct)
            url = str(origin["url"])
            editable = origin.get("dir_info", {}).get("editable", False)
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"{self.name}=={self.version}"
        return f"-e {url}" if editable else f"{self.name} @ {url}"


@dataclass(frozen=True)
class Installed:
    """The folder of an environment, the version of its Python, and its distributions by name.

    ``folders`` are those that an installer fills: of packages, and of programs.
    """

    prefix: Path
    python: str
    folders: tuple[Path, ...]
    distributions: Mapping[str, Distribution]

    @property
    def versions(self) -> dict[str, str]:
        """Return the version of every distribution."""
        return {name: each.version for name, each in self.distributions.items()}

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the whole set as lines of a requirements file, sorted."""
        return tuple(sorted(each.line for each in self.distributions.values()))

    def conflicts(self, versions: Mapping[str, str] | None = None) -> frozenset[str]:
        """Return which requirements are not met, each as a sentence, with other ``versions`` if given.

        A distribution whose version differs from the installed one has other requirements, which are not
        known here: they are left out.
        """
        now = self.versions if versions is None else versions
        found = set()
        for each in self.distributions.values():
            if now.get(each.name) != each.version:
                continue
            for text in each.requires:
                requirement = _applies(text, self.python)
                if requirement is None:
                    continue
                there = now.get(canonicalize_name(requirement.name))
                if there is None:
                    found.add(f"{each.name} {each.version} requires {requirement.name}")
                elif not requirement.specifier.contains(there, prereleases=True):
                    found.add(f"{each.name} {each.version} requires {_short(requirement)}")
        return frozenset(found)


def read(python: str) -> Installed:
    """Ask an interpreter for its distributions. Raises ``UserError`` when it does not answer."""
    try:
        answer = subprocess.run(  # noqa: S603  (the user's own interpreter, no shell)
            [python, "-c", _ASK],
            env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=120,
            check=True,
        )
        found = Field(parse_json(answer.stdout))
        return Installed(
            Path(found.get("prefix").text()),
            found.get("python").text(),
            tuple(dict.fromkeys(Path(each.text()) for each in found.get("folders").each())),
            {each.name: each for each in map(_distribution, found.get("found").each())},
        )
    except (OSError, subprocess.SubprocessError, FieldError) as error:
        raise UserError(
            f"{python}: its packages cannot be listed: {reason(error)[:200]}",
            "metalassay doctor --env PYTHON",
        ) from None


def read_or_none(python: str) -> Installed | None:
    """Return the distributions of an environment, None where its Python does not answer."""
    try:
        return read(python)
    except UserError:
        return None


def owners(folders: Iterable[Path]) -> dict[str, set[str]]:
    """Return which distributions own each file, by the records in ``folders``; starts no interpreter.

    So it answers where the environment's own Python does not start any more. A record that cannot be read
    owns nothing.
    """
    importlib.invalidate_caches()
    found: dict[str, set[str]] = {}
    for each in metadata.distributions(path=[str(folder) for folder in folders]):
        if not _is_readable(each):
            continue
        try:
            name = canonicalize_name(each.metadata["Name"])
            files = [os.path.normpath(str(file.locate())) for file in each.files or ()]
        except (KeyError, TypeError, AttributeError, ValueError, OSError, csv.Error):
            continue  # half written
        for file in files:
            found.setdefault(file, set()).add(name)
    return found


def _is_readable(found: metadata.Distribution) -> bool:
    """Return whether no pipe or device stands where a file of the metadata should be."""
    folder = Path(str(getattr(found, "_path", "")))
    names = ("METADATA", "PKG-INFO", "RECORD")
    return all((folder / n).is_file() or not os.path.lexists(folder / n) for n in names)


def _distribution(found: Field) -> Distribution:
    return Distribution(
        found.get("name").text(),
        found.get("version").text(),
        tuple(each.text() for each in found.get("requires").each()),
        found.get("direct").text(),
        found.get("installer").text(),
        found.get("folder").text(),
        tuple(each.text() for each in found.get("files").each()),
    )


def _applies(text: str, python: str) -> Requirement | None:
    """Return a requirement that counts in this environment without extras, else None."""
    try:
        requirement = Requirement(text)
        short = ".".join(python.split(".")[:2])
        where = {"extra": "", "python_version": short, "python_full_version": python}
        wanted = requirement.marker is None or requirement.marker.evaluate(where)
    except (InvalidRequirement, InvalidMarker, UndefinedEnvironmentName):
        return None
    return requirement if wanted else None


def _short(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"
