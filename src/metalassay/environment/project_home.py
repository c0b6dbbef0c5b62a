"""Where the project is published, from the metadata of the installed package: it stands nowhere else.

Until ``[project.urls]`` of pyproject.toml names a place, nobody knows one here, and nothing guesses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from urllib.parse import urlencode

_ISSUES = ("issues", "issue tracker", "bug tracker", "tracker", "bugs")


def project_urls() -> list[str]:
    """Return the lines of the installed metadata, such as "Issues, https://…"; empty where there are none."""
    try:
        return metadata.metadata("metalassay").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:  # run from a folder that nobody installed
        return []


def issue_url(urls: Sequence[str]) -> str | None:
    """Return where issues go, from the package's metadata: lines such as "Issues, https://…"."""
    for line in urls:
        label, _, url = line.partition(",")
        if label.strip().lower() in _ISSUES:
            return url.strip()
    return None


def new_issue_url(issues: str, title: str, body: str) -> str:
    """Return the address of a new issue with ``title`` and ``body`` filled in, where the tracker is known for it.

    GitHub and GitLab have their issues at a path that ends in "/issues"; of any other tracker the address itself
    is returned.
    """
    place = issues.rstrip("/")
    if not place.endswith("/issues"):
        return issues
    gitlab = place.endswith("/-/issues")
    names = ("issue[title]", "issue[description]") if gitlab else ("title", "body")
    return f"{place}/new?{urlencode(dict(zip(names, (title, body), strict=True)))}"


def where_to_attach(urls: Sequence[str]) -> str:
    """Return the place to which somebody brings a file, as the end of a sentence."""
    url = issue_url(urls)
    return f"an issue at {url}" if url else "an issue where this copy of metalassay was published"
