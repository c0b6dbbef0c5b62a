"""The few calls of GitHub's REST API that our workflows make. Standard library only.

GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_TOKEN are the runner's. The calls are documented at
https://docs.github.com/en/rest/issues and https://docs.github.com/en/rest/repos/contents.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

PER_PAGE = 100
SECONDS = 60


class GitHub:
    """One repository. ``url`` is the API's, such as https://api.github.com."""

    def __init__(self, url: str, repository: str, token: str) -> None:
        self._base = f"{url.rstrip('/')}/repos/{repository}"
        self._token = token

    @classmethod
    def of_the_runner(cls) -> GitHub:
        """Return the repository that the workflow runs in; ends the program where there is no workflow."""
        names = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN")
        values = [os.environ.get(name, "") for name in names]
        if missing := [name for name, value in zip(names, values, strict=True) if not value]:
            sys.exit(f"github_api: not set: {', '.join(missing)}")
        return cls(*values)

    def issues(self, label: str) -> list[dict[str, Any]]:
        """Return all issues with a label, open or closed, pull requests excepted."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            query = {"labels": label, "state": "all", "per_page": PER_PAGE, "page": page}
            read = self._call("GET", f"/issues?{urllib.parse.urlencode(query)}")
            found += [issue for issue in read if "pull_request" not in issue]
            if len(read) < PER_PAGE:
                return found
            page += 1

    def open_issue(self, title: str, body: str, label: str) -> int:
        """Open an issue and return its number."""
        made = self._call("POST", "/issues", {"title": title, "body": body, "labels": [label]})
        return int(made["number"])

    def comment(self, number: int, body: str) -> None:
        """Comment on an issue."""
        self._call("POST", f"/issues/{number}/comments", {"body": body})

    def set_issue(self, number: int, **fields: str) -> None:
        """Change fields of an issue, such as ``state`` or ``body``."""
        self._call("PATCH", f"/issues/{number}", fields)

    def branch(self, name: str) -> bool:
        """Make a branch from the default one; False if it is there already."""
        default = self._call("GET", "")["default_branch"]
        top = self._call("GET", f"/git/ref/heads/{urllib.parse.quote(default)}")
        try:
            self._call(
                "POST", "/git/refs", {"ref": f"refs/heads/{name}", "sha": top["object"]["sha"]}
            )
        except urllib.error.HTTPError as error:
            if error.code != 422:  # "Reference already exists"
                raise
            return False
        return True

    def put(self, path: str, content: bytes, branch: str, message: str) -> None:
        """Commit one file to a branch, new or in the place of another."""
        place = f"/contents/{urllib.parse.quote(path)}"
        fields = {
            "message": message,
            "branch": branch,
            "content": base64.b64encode(content).decode("ascii"),
        }
        try:
            there = self._call("GET", f"{place}?{urllib.parse.urlencode({'ref': branch})}")
            fields["sha"] = there["sha"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        self._call("PUT", place, fields)

    def pull_request(self, title: str, body: str, branch: str) -> int:
        """Propose a branch to the default one; return the number of the pull request."""
        default = self._call("GET", "")["default_branch"]
        fields = {"title": title, "body": body, "head": branch, "base": default}
        return int(self._call("POST", "/pulls", fields)["number"])

    def _call(self, method: str, path: str, fields: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310  (the address is the runner's)
            self._base + path,
            method=method,
            data=None if fields is None else json.dumps(fields).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read())
