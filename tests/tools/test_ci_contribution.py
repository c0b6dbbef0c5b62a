"""A result file out of an issue: found once, checked, and proposed under a name of ours."""

from __future__ import annotations

import json
from pathlib import Path

import bench_files
import ci_contribution
import github_api
import github_server
import pytest

ROOT = Path(__file__).parents[2]
KEPT = next((ROOT / "docs/results").glob("*.json")).read_bytes()
# Another run: one that is there already is not proposed.
RESULT = json.dumps({**json.loads(KEPT), "datetime": "2026-11-28T21:00:00+00:00"}).encode()


def fenced(content: str, fence: str = "```") -> str:
    return f"### The result file\n\n{fence}json\n{content}\n{fence}\n"


def test_a_pasted_file_is_taken_as_it_is() -> None:
    text = RESULT.decode()
    assert json.loads(ci_contribution.content(fenced(text))) == json.loads(RESULT)
    windows = fenced(text).replace("\n", "\r\n")
    assert json.loads(ci_contribution.content(windows)) == json.loads(RESULT)
    longer = fenced('{"a": "\n```\n"}', "````")
    assert b"```" in ci_contribution.content(longer)


@pytest.mark.parametrize("body", ["", "text", fenced("{}") * 2, "```\n{}\n```"])
def test_no_file_and_two_files_are_one_line(body: str) -> None:
    with pytest.raises(SystemExit, match="result files in the issue, not one"):
        ci_contribution.content(body)


def test_an_attached_file_is_fetched_from_where_attachments_are_and_nowhere_else() -> None:
    large = b" " * (ci_contribution.MOST + 1)
    files = {"/files/1/a.json": RESULT, "/files/2/b.json": large, "/other/3/c.json": RESULT}
    with github_server.serve(files) as there:
        place = f"{there.url}/files/"
        body = f"[a.json]({place}1/a.json)"
        assert ci_contribution.content(body, place) == RESULT
        for path, said in (
            ("files/2/b.json", "larger than"),
            ("files/9/d.json", "cannot fetch"),
            ("other/3/c.json", "0 result files"),
        ):
            with pytest.raises(SystemExit, match=said):
                ci_contribution.content(f"[x]({there.url}/{path})", place)
    with pytest.raises(SystemExit, match="0 result files"):
        ci_contribution.content("https://evil.example/github.com/user-attachments/files/1/a.json")


def test_a_file_that_would_not_be_accepted_is_refused_with_its_reasons() -> None:
    assert ci_contribution.refused(RESULT) == []
    assert ci_contribution.refused(b"{}") == ["not a benchmark run of metalassay"]
    document = bench_files.document()
    document["benchmarks"] = []
    assert ci_contribution.refused(json.dumps(document).encode())


def test_the_name_of_the_file_is_made_here() -> None:
    document = bench_files.document()
    document["machine_info"]["hardware"]["chip"] = "../../.github/workflows/Evil \n `x`"
    name = ci_contribution.name(json.dumps(document).encode(), 7)
    assert name.startswith("metalassay-github-workflows-evil-x-20")
    assert name.endswith("-7.json")


def test_a_file_that_is_there_already_is_not_proposed() -> None:
    with pytest.raises(SystemExit, match="the same content"):
        ci_contribution.page(ROOT / "docs/results", KEPT, "metalassay-x-7.json")


def test_the_file_and_the_table_are_proposed_once_and_renewed_afterwards() -> None:
    with github_server.serve() as there:
        github = github_api.GitHub(there.url, github_server.REPOSITORY, github_server.TOKEN)
        results = ROOT / "docs/results"
        assert ci_contribution.propose(github, RESULT, 7, results) == 101
        assert ci_contribution.propose(github, RESULT, 7, results) == 0
        assert len(there.pulls) == 1
        files = there.branches["result-7"]
        assert len(files) == 2
        page = files["docs/results/README.md"].decode()
        assert page.count("-7.json]") == (results / "README.md").read_text("utf-8").count(".json](")
    assert "-7.json" not in (results / "README.md").read_text("utf-8")
