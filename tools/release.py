"""Check, prepare and describe a release; what is published comes from the tag's commit alone.

    python tools/release.py cut 0.1.0               set the version, and date the changelog's section
    python tools/release.py check --tag v0.1.0      what keeps this commit from being that release
    python tools/release.py notes v0.1.0            its section of CHANGELOG.md, for the page of the release
    python tools/release.py home https://HOST/OWNER/metalassay      where the project lives, once that is decided
    nox -s release                                  a dry run: build, checks, a local index, an installation

The version stands in src/metalassay/__init__.py, and the tag has to agree. The home stands in [project.urls]; the
links of the README on an index are derived from it by `home`, in the same file.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.compile(r'^__version__ = "(.+)"$', re.M)
SECTION = re.compile(r"^## \[(?P<version>[^\]]+)\](?: - (?P<day>\S+))?$", re.M)
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#|mailto:)([^)\s]+)\)")
"""A link or an image of the README that leads to a file of the repository."""
SUBSTITUTIONS = "[[tool.hatch.metadata.hooks.fancy-pypi-readme.substitutions]]"
URLS = ("Homepage", "Documentation", "Changelog", "Issues", "Source")


def version(root: Path = ROOT) -> str:
    """Return the version that the source has."""
    found = VERSION.search((root / "src/metalassay/__init__.py").read_text("utf-8"))
    if found is None:
        raise SystemExit("src/metalassay/__init__.py has no __version__")
    return found[1]


def urls_of(home: str) -> dict[str, str]:
    """Return [project.urls] for a home such as "https://host/owner/metalassay"."""
    return {
        "Homepage": home,
        "Documentation": f"{home}/tree/main/docs",
        "Changelog": f"{home}/blob/main/CHANGELOG.md",
        "Issues": f"{home}/issues",
        "Source": home,
    }


def substitutions_of(home: str) -> list[dict[str, str]]:
    """Return the substitutions that make the README's links and images absolute."""
    return [
        {
            "pattern": r"(!\[[^\]]*\])\((?!https?://|#|mailto:)([^)\s]+)\)",
            "replacement": rf"\1({home}/raw/main/\2)",
        },
        {
            "pattern": r"(?<!!)(\[[^\]]*\])\((?!https?://|#|mailto:)([^)\s]+)\)",
            "replacement": rf"\1({home}/blob/main/\2)",
        },
    ]


def substituted(text: str, substitutions: list[dict[str, str]]) -> str:
    """Return ``text`` as hatch-fancy-pypi-readme makes it."""
    for each in substitutions:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def notes(changelog: str, wanted: str) -> str:
    """Return the section of a version. Raises ``SystemExit`` where there is none."""
    sections = list(SECTION.finditer(changelog))
    for at, section in enumerate(sections):
        if section["version"] == wanted:
            end = sections[at + 1].start() if at + 1 < len(sections) else len(changelog)
            return re.sub(
                r"^\[[^\]]+\]: \S+$", "", changelog[section.end() : end], flags=re.M
            ).strip()
    raise SystemExit(f"CHANGELOG.md has no section [{wanted}]")


def problems(root: Path = ROOT, tag: str | None = None) -> Iterator[str]:
    """Yield what keeps the tree from being released, a sentence each; with ``tag``, as that one."""
    now = version(root)
    try:
        parsed = Version(now)
        if str(parsed) != now or parsed.local or parsed.is_devrelease:
            yield f"the version is {now}: a release has one such as 0.1.0"
    except InvalidVersion:
        yield f"the version is {now!r}, which no index takes"
    if tag is not None and tag != f"v{now}":
        yield f"the tag is {tag}, and the version is {now}: the tag has to be v{now}"
    yield from _changelog(root, now)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    yield from _home(project, (root / "README.md").read_text("utf-8"))
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text("utf-8"), re.M)
    if cited is None or cited[1].strip("'\"") != now:
        yield f"CITATION.cff does not say version: {now}"


def _changelog(root: Path, now: str) -> Iterator[str]:
    sections = {
        each["version"]: each["day"]
        for each in SECTION.finditer((root / "CHANGELOG.md").read_text("utf-8"))
    }
    if now not in sections:
        yield f"CHANGELOG.md has no section [{now}]"
        return
    try:
        date.fromisoformat(sections[now] or "")
    except ValueError:
        yield f"the section [{now}] of CHANGELOG.md has no date"


def _home(project: Mapping[str, Any], readme: str) -> Iterator[str]:
    urls = project["project"].get("urls", {})
    if missing := [name for name in URLS if name not in urls]:
        yield (
            f"[project.urls] lacks {', '.join(missing)}: decide where the project lives, then"
            " python tools/release.py home URL"
        )
        return
    home = urls["Homepage"]
    if urls != urls_of(home):
        yield "[project.urls] does not follow from its Homepage: python tools/release.py home URL"
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    if hook.get("substitutions") != substitutions_of(home):
        yield "the README's substitutions do not follow from the Homepage: python tools/release.py home URL"
    elif left := LINK.search(substituted(readme, hook["substitutions"])):
        yield f"the README on an index would have a link that leads nowhere: {left[0]}"


def set_home(home: str, root: Path = ROOT) -> None:
    """Write the home of the project to pyproject.toml, in place of an earlier one."""
    parts = urlsplit(home)
    if (
        parts.scheme != "https"
        or not parts.netloc
        or parts.path.count("/") < 2
        or home.endswith("/")
    ):
        raise SystemExit(
            f"{home!r} is no home: https://HOST/OWNER/NAME, without a slash at the end"
        )
    path = root / "pyproject.toml"
    text = path.read_text("utf-8")
    text = re.sub(r"\[project\.urls\]\n(?:[^\[\n].*\n)*\n?", "", text)
    text = re.sub(rf"{re.escape(SUBSTITUTIONS)}\n(?:[^\[\n].*\n)*\n?", "", text)
    urls = "[project.urls]\n" + "".join(
        f'{name} = "{url}"\n' for name, url in urls_of(home).items()
    )
    rules = "\n".join(
        f"{SUBSTITUTIONS}\npattern = '{each['pattern']}'\nreplacement = '{each['replacement']}'\n"
        for each in substitutions_of(home)
    )
    text = text.replace("[project.scripts]\n", f"{urls}\n[project.scripts]\n", 1)
    after = 'fragments = [{ path = "README.md" }]\n\n'
    if text.count(after) != 1:
        raise SystemExit("pyproject.toml has no fancy-pypi-readme with the README as its fragment")
    path.write_text(text.replace(after, f"{after}{rules}\n"), "utf-8")


def cut(wanted: str, day: date, root: Path = ROOT) -> None:
    """Make the tree that version: in the source, in CITATION.cff, and what was unreleased in CHANGELOG.md."""
    try:
        if str(Version(wanted)) != wanted:
            raise SystemExit(f"{wanted} is written {Version(wanted)}")
    except InvalidVersion:
        raise SystemExit(f"{wanted!r} is no version, such as 0.1.0") from None
    path = root / "CHANGELOG.md"
    text = path.read_text("utf-8")
    sections = {each["version"] for each in SECTION.finditer(text)}
    if wanted in sections or "Unreleased" not in sections:
        raise SystemExit(f"CHANGELOG.md has [{wanted}] already, or nothing unreleased")
    heading = f"## [Unreleased]\n\n## [{wanted}] - {day.isoformat()}\n"
    path.write_text(text.replace("## [Unreleased]\n", heading, 1), "utf-8")
    for name, before, after in (
        ("src/metalassay/__init__.py", VERSION.pattern, f'__version__ = "{wanted}"'),
        ("CITATION.cff", r"^version: \S+$", f"version: {wanted}"),
    ):
        file = root / name
        file.write_text(re.sub(before, after, file.read_text("utf-8"), flags=re.M), "utf-8")


def main() -> int:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check").add_argument("--tag")
    commands.add_parser("notes").add_argument("tag")
    commands.add_parser("home").add_argument("url")
    commands.add_parser("cut").add_argument("version")
    options = parser.parse_args()
    if options.command == "notes":
        print(notes((ROOT / "CHANGELOG.md").read_text("utf-8"), options.tag.removeprefix("v")))
        return 0
    if options.command == "home":
        set_home(options.url)
        return 0
    if options.command == "cut":
        cut(options.version, datetime.now(UTC).date())
        return 0
    found = list(problems(tag=options.tag))
    dirty = subprocess.run(
        ["git", "status", "--porcelain"],  # noqa: S607  (whichever git there is)
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if dirty.returncode or dirty.stdout.strip():
        found.append(
            "the working tree has changes, or is no git checkout: a release is made from a commit"
        )
    for problem in found:
        print(f"release: {problem}", file=sys.stderr)
    if not found:
        print(f"{version()} can be released")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
