"""Where the project is published comes from the installed metadata, and is never guessed."""

from __future__ import annotations

from importlib import metadata
from urllib.parse import parse_qs, urlsplit

import pytest

from metalassay.environment import project_home


@pytest.mark.parametrize(
    ("urls", "url"),
    [
        (["Homepage, https://a", "Issues, https://b"], "https://b"),
        (["Bug Tracker, https://c"], "https://c"),
        (["Homepage, https://a"], None),
        ([], None),
    ],
)
def test_issues_go_where_the_metadata_says(urls: list[str], url: str | None) -> None:
    assert project_home.issue_url(urls) == url
    place = project_home.where_to_attach(urls)
    assert place == (
        f"an issue at {url}" if url else "an issue where this copy of metalassay was published"
    )


@pytest.mark.parametrize(
    ("issues", "start", "title"),
    [
        ("https://github.example/a/b/issues", "https://github.example/a/b/issues/new?", "title"),
        ("https://x.example/a/b/issues/", "https://x.example/a/b/issues/new?", "title"),
        ("https://x.example/a/b/-/issues", "https://x.example/a/b/-/issues/new?", "issue[title]"),
    ],
)
def test_a_new_issue_has_its_title_filled_in(issues: str, start: str, title: str) -> None:
    url = project_home.new_issue_url(issues, "M4 & more", "one\ntwo")
    assert url.startswith(start)
    assert parse_qs(urlsplit(url).query)[title] == ["M4 & more"]


def test_an_unknown_tracker_is_named_as_it_is() -> None:
    assert (
        project_home.new_issue_url("https://bugs.example/x", "a", "b") == "https://bugs.example/x"
    )


def test_a_copy_without_metadata_knows_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    assert project_home.project_urls() == []
