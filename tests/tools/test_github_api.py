"""The calls of GitHub's REST API, against a server that speaks them."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator

import github_api
import github_server
import pytest


@pytest.fixture
def there() -> Iterator[github_server.Repository]:
    with github_server.serve() as repository:
        yield repository


def client(there: github_server.Repository, token: str = github_server.TOKEN) -> github_api.GitHub:
    return github_api.GitHub(there.url + "/", github_server.REPOSITORY, token)


def test_every_page_of_issues_is_read_and_pull_requests_are_none(
    there: github_server.Repository,
) -> None:
    for number in range(250):
        there.issue(f"body {number}", "upstream", state="closed" if number % 2 else "open")
    there.issue("somebody's", "bug")
    there.issue("a pull request", "upstream", pull_request={"url": "x"})
    found = client(there).issues("upstream")
    assert sorted(issue["number"] for issue in found) == list(range(1, 251))


def test_an_issue_is_opened_commented_on_and_closed(there: github_server.Repository) -> None:
    github = client(there)
    assert github.open_issue("title", "body", "upstream") == 1
    github.comment(1, "a comment")
    github.set_issue(1, state="closed", state_reason="completed")
    (issue,) = there.issues
    assert (issue["title"], issue["labels"]) == ("title", [{"name": "upstream"}])
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    assert there.comments == {1: ["a comment"]}


def test_a_file_is_put_on_a_branch_new_or_in_place_of_another(
    there: github_server.Repository,
) -> None:
    there.branches["main"]["docs/a b.md"] = b"old"
    github = client(there)
    assert github.branch("result-1")
    assert not github.branch("result-1")
    github.put("docs/a b.md", b"new", "result-1", "why")
    github.put("docs/c.json", b"{}", "result-1", "why")
    assert there.branches == {
        "main": {"docs/a b.md": b"old"},
        "result-1": {"docs/a b.md": b"new", "docs/c.json": b"{}"},
    }
    assert github.pull_request("title", "body", "result-1") == 101
    assert there.pulls == [{"title": "title", "body": "body", "head": "result-1", "base": "main"}]


def test_a_wrong_token_is_an_error_and_nothing_is_written(there: github_server.Repository) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        client(there, "another").branch("result-1")
    assert there.writes() == []


def test_outside_of_a_workflow_the_missing_variables_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match="not set: GITHUB_REPOSITORY, GITHUB_TOKEN"):
        github_api.GitHub.of_the_runner()
