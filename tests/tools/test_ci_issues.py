"""Which issues the nightly verdicts open and close: once each, on evidence, and never somebody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ci_issues
import github_server
import pytest
from ci_issues import Issue, Plan, Seen

ROOT = Path(__file__).parents[2]
BUG = "accelerate-empty-shard"
RED, OTHER, GREEN, NONE = "unexplained", "crashed", "fine", "not tested"


def seen(word: str, name: str = "torch-nightly") -> Seen:
    return Seen(name, BUG, word)


def issue(
    number: int = 1, word: str = RED, *, opened: bool = True, given_up: bool = False
) -> Issue:
    return Issue(number, "torch-nightly", BUG, word, opened, given_up)


@pytest.mark.parametrize(
    ("word", "issues", "wanted"),
    [
        (RED, [], Plan(open=[seen(RED)])),
        (RED, [issue()], Plan()),
        (OTHER, [issue()], Plan(comment=[(issue(), seen(OTHER))])),
        (GREEN, [issue()], Plan(close=[(issue(), seen(GREEN))])),
        ("broken as known", [issue()], Plan(close=[(issue(), seen("broken as known"))])),
        (NONE, [issue()], Plan()),
        (GREEN, [], Plan()),
        (GREEN, [issue(opened=False)], Plan()),
        (RED, [issue(opened=False)], Plan(reopen=[(issue(opened=False), seen(RED))])),
        (RED, [issue(opened=False, given_up=True)], Plan()),
        (OTHER, [issue(opened=False, given_up=True)], Plan()),
        # The open one counts, not the newest.
        (RED, [issue(1), issue(2, opened=False)], Plan()),
        (RED, [issue(1, opened=False), issue(2, opened=False, given_up=True)], Plan()),
    ],
)
def test_each_case_has_one_answer(word: str, issues: list[Issue], wanted: Plan) -> None:
    assert ci_issues.plan([seen(word)], issues) == wanted


def test_an_issue_of_another_set_or_without_a_verdict_tonight_is_left_alone() -> None:
    other = Issue(7, "main-branches", BUG, RED, open=True)
    assert ci_issues.plan([seen(RED)], [other]) == Plan(open=[seen(RED)])
    assert ci_issues.plan([], [issue()]) == Plan()


def test_two_verdicts_on_one_thing_are_a_defect() -> None:
    with pytest.raises(ValueError, match="two verdicts"):
        ci_issues.plan([seen(RED), seen(GREEN)], [])


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[github_server.Repository]:
    with github_server.serve() as repository:
        monkeypatch.setenv("GITHUB_API_URL", repository.url)
        monkeypatch.setenv("GITHUB_REPOSITORY", github_server.REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", github_server.TOKEN)
        monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        yield repository


def night(folder: Path, word: str, evidence: str = "AssertionError: no") -> Path:
    """Write the verdict file of one night."""
    record = json.loads((ROOT / "docs/evidence/compat/accelerate-1.9.0.json").read_text("utf-8"))
    record["bugs"] = [bug for bug in record["bugs"] if bug["id"] == BUG]
    (bug,) = record["bugs"]
    (first, *_) = bug["tests"]
    outcome = {RED: "failed", OTHER: "crashed", GREEN: "passed", NONE: "skipped"}[word]
    bug["verdict"] = word
    bug["tests"] = [
        {**first, "upstream": "stock", "affected": False, "outcome": outcome, "evidence": evidence}
    ]
    target = folder / "upstream-torch-nightly"
    target.mkdir(parents=True, exist_ok=True)
    (target / "torch-nightly.json").write_text(json.dumps(record), "utf-8")
    return folder


def test_a_verdict_has_one_issue_through_all_nights(
    there: github_server.Repository, tmp_path: Path
) -> None:
    for word in (GREEN, RED, RED, NONE, RED, OTHER, OTHER):
        assert ci_issues.main([str(night(tmp_path, word))]) == 0
    (opened,) = there.issues
    assert opened["title"] == f"{BUG}: {RED} with torch-nightly"
    assert opened["state"] == "open"
    assert len(there.comments[1]) == 1  # it crashed instead: told once
    ci_issues.main([str(night(tmp_path, GREEN))])
    ci_issues.main([str(night(tmp_path, GREEN))])
    assert (opened["state"], opened["state_reason"]) == ("closed", "completed")
    assert len(there.comments[1]) == 2
    ci_issues.main([str(night(tmp_path, RED))])
    assert (len(there.issues), opened["state"]) == (1, "open")


def test_an_issue_of_somebody_with_our_mark_but_without_the_label_does_not_count(
    there: github_server.Repository, tmp_path: Path
) -> None:
    there.issue(ci_issues.mark(seen(RED)))
    ci_issues.main([str(night(tmp_path, RED))])
    assert len(there.issues) == 2


def test_what_foreign_code_wrote_notifies_nobody_and_forges_no_mark(
    there: github_server.Repository, tmp_path: Path
) -> None:
    evil = "@torvalds see <!-- metalassay-upstream: a/b = fine -->\n```\n# heading"
    ci_issues.main([str(night(tmp_path, RED, evil))])
    text = there.issues[0]["body"]
    assert all(
        line.startswith("    ") for line in text.splitlines() if "@" in line or "heading" in line
    )
    (ours,) = ci_issues.ours(there.issues)
    assert (ours.set, ours.bug, ours.word) == ("torch-nightly", BUG, RED)


def test_a_file_that_contradicts_itself_decides_nothing(
    there: github_server.Repository, tmp_path: Path
) -> None:
    ci_issues.main([str(night(tmp_path, RED))])
    path = tmp_path / "upstream-torch-nightly" / "torch-nightly.json"
    record = json.loads(path.read_text("utf-8"))
    record["bugs"][0]["verdict"] = GREEN  # its test failed
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(SystemExit, match="nothing was tested"):
        ci_issues.main([str(tmp_path)])
    assert there.issues[0]["state"] == "open"


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "other/1"}'])
def test_a_file_that_is_none_of_ours_ends_it(
    there: github_server.Repository, tmp_path: Path, content: str
) -> None:
    (tmp_path / "upstream-main-branches").mkdir()
    (tmp_path / "upstream-main-branches" / "main-branches.json").write_text(content)
    with pytest.raises(SystemExit, match=r"ci_issues: main-branches\.json: "):
        ci_issues.main([str(tmp_path)])
    assert there.writes() == []


def test_only_the_sets_that_we_know_are_read(tmp_path: Path) -> None:
    night(tmp_path, RED)
    (tmp_path / "upstream-torch-nightly").rename(tmp_path / "upstream-evil")
    assert ci_issues.read(tmp_path) == []


def test_no_file_is_no_evidence(there: github_server.Repository, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing was tested"):
        ci_issues.main([str(tmp_path)])
    assert there.calls == []
