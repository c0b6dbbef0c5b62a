"""What an installer would really do for a plan, and which plan can be installed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalassay import bugs
from metalassay.diagnosis import fix_plan
from metalassay.environment.managers import Manager
from metalassay.errors import UserError
from metalassay.fix import resolve
from metalassay.fix.distributions import Distribution, Installed
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure

UV = Manager("uv venv", "python", Path("/env"), has_uv=True, has_pip=False)
BUG = """
[[bug]]
id = "old"
title = "old"
link = "https://example.org"
entry = "Trainer"
stops = true
reports = 0
where = [{accelerate = "<1.9"}]
cause = "x"
fixes = [{ install = ["accelerate>=1.9"] }]
[[bug.symptom]]
id = "s"
raises = "E"
match = "m"
"""
FACTS = fix_plan.Facts(
    releases=lambda name: ("1.8.0", "1.9.0", "1.10.1") if name == "accelerate" else (),
    requires=lambda *_: (),
    breaks=lambda versions: {"trl broke"} if versions.get("trl") == "2.0" else set(),
    executed=lambda _: False,
)
VERSIONS = {"python": "3.11.7", "accelerate": "1.8.0", "trl": "1.0"}


def installed(*requires: str) -> Installed:
    found = {
        name: Distribution(name, version, requires if name == "mine" else (), "", "uv", "", ())
        for name, version in {"accelerate": "1.8.0", "trl": "1.0", "mine": "1.0"}.items()
    }
    return Installed(Path("/env"), "3.11.7", (), found)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = bugs.parse(BUG)
    monkeypatch.setattr(bugs, "load", lambda: parsed)


def answers(
    monkeypatch: pytest.MonkeyPatch, *given: Mapping[str, str] | Failure | None
) -> list[Any]:
    """Let the installer answer these in turn; return the requirements that it is asked."""
    asked: list[Any] = []
    left = list(given)

    def ask(manager: Manager, there: Installed, requirements: Sequence[str]) -> Any:
        asked.append(tuple(requirements))
        answer = left.pop(0)
        return {**there.versions, **answer} if isinstance(answer, Mapping) else answer

    monkeypatch.setattr(resolve, "ask", ask)
    return asked


def run(there: Installed | None = None) -> resolve.Resolved:
    return resolve.resolve(UV, there or installed(), VERSIONS, facts=FACTS)


def test_the_first_plan_that_the_installer_accepts_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, {"accelerate": "1.9.0"})
    found = run()
    assert found.plan.requirements == ("accelerate~=1.9.0",)
    assert (found.plan.fixes, found.checked, found.refused) == (("old",), True, ())
    assert found.versions["accelerate"] == "1.9.0"


def test_a_conflict_makes_the_next_plan_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(
        monkeypatch, Failure("mine depends on it", conflict=True), {"accelerate": "1.10.1"}
    )
    found = run()
    assert asked == [("accelerate~=1.9.0",), ("accelerate~=1.10.1",)]
    assert found.refused == ((("accelerate~=1.9.0",), "mine depends on it"),)


def test_what_an_installed_package_does_not_bear_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, {"accelerate": "1.9.0"}, {"accelerate": "1.10.1"})
    found = run(installed("accelerate<1.9"))
    assert not found.plan.requirements
    assert [why for _, why in found.refused] == ["mine 1.0 requires accelerate<1.9"] * 2


def test_a_break_in_what_the_installer_chose_besides_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, {"accelerate": "1.9.0", "trl": "2.0"}, {"accelerate": "1.10.1"})
    found = run()
    assert found.plan.requirements == ("accelerate~=1.10.1",)
    assert found.refused[0][1] == "the installer's choice breaks: trl broke"


def test_a_network_failure_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Failure("connection refused"))
    with pytest.raises(UserError, match=r"connection refused.*nothing was changed"):
        run()


def test_where_nobody_can_be_asked_the_plan_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, None)
    found = run()
    assert (found.plan.requirements, found.checked) == (("accelerate~=1.9.0",), False)


def test_what_uv_prints_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "Would download 2 packages\n - accelerate==1.8.0\n + accelerate==1.9.0\n"
        " + Huggingface_Hub==1.0.0\n - trl==1.0\n ~ mine==1.0\n"
    )
    done: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 0, "", said)
    monkeypatch.setattr(resolver, "run", lambda words: done)
    assert resolve.ask(UV, installed(), ("accelerate~=1.9.0",)) == {
        "accelerate": "1.9.0",
        "huggingface-hub": "1.0.0",
        "mine": "1.0",
    }
    monkeypatch.setattr(resolver, "run", lambda words: Failure("no", conflict=True))
    assert resolve.ask(UV, installed(), ("a",)) == Failure("no", conflict=True)


@pytest.mark.parametrize(
    ("code", "out", "err", "expected"),
    [
        (0, json.dumps({"install": [{"metadata": {"name": "Accelerate", "version": "1.9.0"}}]}), "", "1.9.0"),
        (0, "nonsense", "", None),
        (2, "", "no such option: --report", None),
        (1, "", "ERROR: No matching distribution", Failure("No matching distribution")),
    ],
)  # fmt: skip
def test_what_pip_prints_is_read(
    code: int, out: str, err: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], code, out, err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    answer = resolve.ask(Manager("venv", "python", Path("/env")), installed(), ("a",))
    found = answer["accelerate"] if isinstance(answer, dict) else answer
    assert found == expected


def test_a_project_is_resolved_in_a_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "uv.lock").write_text("version = 1")
    manager = Manager(
        "uv project", "python", tmp_path / ".venv", tmp_path, tmp_path / "uv.lock", has_uv=True
    )
    seen = []

    def uv(words: list[str]) -> subprocess.CompletedProcess[str] | Failure:
        seen.append(words[0])
        assert str(tmp_path) not in words
        return subprocess.CompletedProcess([], 0, "accelerate==1.9.0 ; x\nnew==1\n", "")

    monkeypatch.setattr(resolver, "run", uv)
    answer = resolve.ask(manager, installed(), ("accelerate~=1.9.0",))
    assert answer == {"accelerate": "1.9.0", "trl": "1.0", "mine": "1.0"}
    assert seen == ["add", "export"]
    assert (tmp_path / "pyproject.toml").read_text() == "[project]"
