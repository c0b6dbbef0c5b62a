"""A server that speaks the calls of GitHub's REST API that our tools make, over real HTTP.

Written from https://docs.github.com/en/rest: what it refuses, GitHub refuses.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "a-token"  # noqa: S105  (opens nothing)
REPOSITORY = "someone/metalassay"


@dataclass
class Repository:
    """What the server holds, and the calls that it got."""

    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[str]] = field(default_factory=dict)
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    pulls: list[dict[str, Any]] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    url: str = ""

    def issue(self, body: str, *labels: str, **fields: Any) -> dict[str, Any]:
        """Add an issue and return it."""
        made = {
            "number": len(self.issues) + 1,
            "title": "",
            "body": body,
            "state": "open",
            "state_reason": None,
            "labels": [{"name": label} for label in labels],
            **fields,
        }
        self.issues.append(made)
        return made

    def writes(self) -> list[str]:
        """Return the calls that changed something."""
        return [call for call in self.calls if not call.startswith("GET ")]


@contextmanager
def serve(attachments: dict[str, bytes] | None = None) -> Iterator[Repository]:
    """Serve an empty repository, and files under /files/, for as long as the block runs."""
    repository = Repository()
    files = attachments or {}

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *_: object) -> None:  # noqa: A002
            pass

        def _answer(self, status: int, value: object) -> None:
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            if parts.path in files:
                self._answer(200, files[parts.path])
                return
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                self._answer(401, {"message": "Bad credentials"})
                return
            base = f"/repos/{REPOSITORY}"
            if not parts.path.startswith(base):
                self._answer(404, {"message": "Not Found"})
                return
            path = unquote(parts.path.removeprefix(base))
            length = int(self.headers.get("Content-Length") or 0)
            fields = json.loads(self.rfile.read(length)) if length else {}
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            repository.calls.append(f"{self.command} {path}")
            self._answer(*_call(repository, self.command, path, query, fields))

        do_GET = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    repository.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield repository
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _call(
    repository: Repository, method: str, path: str, query: dict[str, str], fields: dict[str, Any]
) -> tuple[int, object]:
    if (method, path) == ("GET", ""):
        return 200, {"default_branch": "main"}
    if path.startswith("/issues"):
        return _issues(repository, method, path, query, fields)
    if match := re.fullmatch(r"/git/ref/heads/(.+)", path):
        there = match[1] in repository.branches
        return (200, {"object": {"sha": "0" * 40}}) if there else (404, {"message": "Not Found"})
    if (method, path) == ("POST", "/git/refs"):
        name = fields["ref"].removeprefix("refs/heads/")
        if name in repository.branches:
            return 422, {"message": "Reference already exists"}
        repository.branches[name] = dict(repository.branches["main"])
        return 201, {"ref": fields["ref"]}
    if path.startswith("/contents/"):
        return _contents(repository, method, path.removeprefix("/contents/"), query, fields)
    if (method, path) == ("POST", "/pulls"):
        repository.pulls.append(fields)
        return 201, {"number": 100 + len(repository.pulls)}
    return 404, {"message": "Not Found"}


def _issues(
    repository: Repository, method: str, path: str, query: dict[str, str], fields: dict[str, Any]
) -> tuple[int, object]:
    if (method, path) == ("GET", "/issues"):
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        wanted = [
            issue
            for issue in reversed(repository.issues)
            if query["state"] in ("all", issue["state"])
            and query["labels"] in [label["name"] for label in issue["labels"]]
        ]
        return 200, wanted[size * (page - 1) : size * page]
    if (method, path) == ("POST", "/issues"):
        return 201, repository.issue(fields["body"], *fields["labels"], title=fields["title"])
    match = re.fullmatch(r"/issues/(\d+)(/comments)?", path)
    if match is None or not 1 <= int(match[1]) <= len(repository.issues):
        return 404, {"message": "Not Found"}
    if (method, match[2]) == ("POST", "/comments"):
        repository.comments.setdefault(int(match[1]), []).append(fields["body"])
        return 201, {"id": 1}
    if (method, match[2]) == ("PATCH", None):
        issue = repository.issues[int(match[1]) - 1]
        issue.update(fields)
        if fields.get("state") == "open":
            issue["state_reason"] = "reopened"
        return 200, issue
    return 404, {"message": "Not Found"}


def _contents(
    repository: Repository, method: str, path: str, query: dict[str, str], fields: dict[str, Any]
) -> tuple[int, object]:
    branch = query.get("ref") or fields.get("branch", "main")
    files = repository.branches.get(branch, {})
    sha = hashlib.sha1(files[path]).hexdigest() if path in files else None  # noqa: S324
    if method == "GET":
        return (200, {"sha": sha}) if sha else (404, {"message": "Not Found"})
    if fields.get("sha") != sha:
        return 409, {"message": f"{path} does not match {fields.get('sha')}"}
    files[path] = base64.b64decode(fields["content"])
    return 201, {"content": {"path": path}}
