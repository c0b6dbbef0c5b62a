"""Check that a tag can be released, and write its notes. Standard library only.

python3 tools/ci_release.py check v0.1.0     tag = version, a section of the changelog, addresses
python3 tools/ci_release.py notes v0.1.0     that section, on standard output
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


def problems(root: Path, tag: str) -> list[str]:
    """Return what stands in the way of a release, one line each."""
    found = []
    match = TAG.fullmatch(tag)
    if match is None:
        return [f"{tag!r} is no tag of a release, such as v0.1.0 or v0.2.0rc1"]
    source = VERSION.search((root / "src/metalassay/__init__.py").read_text("utf-8"))
    version = source[1] if source else "none"
    if version != match[1]:
        found.append(f"the tag is {tag}, and src/metalassay/__init__.py says {version}")
    if not section(root, match[1]):
        found.append(f"CHANGELOG.md has no section [{match[1]}], or an empty one")
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    if not project.get("urls"):
        found.append("pyproject.toml has no [project.urls]: the home of the project is not decided")
    return found


def section(root: Path, version: str) -> str:
    """Return the text of a version's section in the changelog, without its heading; "" for none."""
    text = (root / "CHANGELOG.md").read_text("utf-8")
    parts = re.split(r"^## \[([^\]]+)\].*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True)).get(version, "").strip()


def main(arguments: list[str] | None = None) -> int:
    """Run one of the two commands, and return 1 if the tag cannot be released."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2 or given[0] not in ("check", "notes"):
        sys.exit("ci_release: python3 tools/ci_release.py check|notes TAG")
    command, tag = given
    if command == "notes":
        if not (text := section(ROOT, tag.removeprefix("v"))):
            sys.exit(f"ci_release: CHANGELOG.md has no section for {tag}")
        print(text)
        return 0
    found = problems(ROOT, tag)
    print("\n".join(found) or f"{tag} can be released")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
