"""What an installer would do: its output read, its refusals told apart, the next plan tried."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from metalassay.diagnosis import fix_plan
from metalassay.diagnosis.fix_plan import Facts, Plan
from metalassay.environment import managers
from metalassay.environment.managers import Manager
from metalassay.errors import UserError
from metalassay.fix import resolve
from metalassay.fix.distributions import Distribution, Installed
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure

UV = Manager(managers.UV_VENV, "/env/bin/python", Path("/env"), has_pip=False, has_uv=True)


def environment(requires: Sequence[str] = (), **versions: str) -> Installed:
    """Return an environment in which ``holder`` has requirements."""
    every = {"holder": "1", **versions}
    return Installed(
        Path("/env"),
        "3.11.7",
        (),
        {
            name: Distribution(
                name, version, tuple(requires) if name == "holder" else (), "", "", "", ()
            )
            for name, version in every.items()
        },
    )


HERE = environment(accelerate="1.8.0", tokenizers="0.21.4")


def answers(monkeypatch: pytest.MonkeyPatch, *outputs: str | Failure) -> list[list[str]]:
    """Let uv print each of these to stderr in turn, or fail; return the words of every call."""
    left, calls = list(outputs), []

    def run(words: Sequence[str], *_: Any, **__: Any) -> Any:
        calls.append(list(words))
        answer = left.pop(0)
        if isinstance(answer, Failure):
            return answer
        return subprocess.CompletedProcess(words, 0, "", answer)

    monkeypatch.setattr(resolver, "run", run)
    return calls


def test_what_uv_prints_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = answers(
        monkeypatch,
        "Resolved 4 packages in 12ms\nWould download 1 package\nWould uninstall 2 packages\n"
        "Would install 3 packages\n - accelerate==1.8.0\n + Accelerate==1.9.0\n"
        " - holder==1 (from file:///x)\n ~ tokenizers==0.21.4\n + new_one==2.0+cpu\n",
    )
    assert resolve.ask(UV, HERE, ["accelerate~=1.9.0"]) == {
        "accelerate": "1.9.0",
        "tokenizers": "0.21.4",
        "new-one": "2.0+cpu",
    }
    (words,) = calls
    assert words[:2] == ["--color", "never"]
    assert words[-3:] == ["--python", "/env/bin/python", "accelerate~=1.9.0"]
    answers(monkeypatch, "Resolved 1 package in 1ms\nWould make no changes\n")
    assert resolve.ask(UV, HERE, ["accelerate~=1.8.0"]) == HERE.versions


def pip(folder: Path, script: str, **more: Any) -> Manager:
    """Return a plain environment whose Python, which stands in for pip, runs a script."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return Manager(managers.VENV, str(python), folder, **more)


def test_the_one_that_installs_is_asked_and_not_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "run", lambda *_: pytest.fail("uv was asked"))
    report = {"install": [{"metadata": {"name": "Accelerate", "version": "1.9.0"}}]}
    (tmp_path / "report").write_text(json.dumps(report))
    manager = pip(tmp_path, f"echo $@ > {tmp_path}/words; cat {tmp_path}/report", has_uv=True)
    assert resolve.ask(manager, HERE, ["accelerate~=1.9.0"]) == {
        **HERE.versions,
        "accelerate": "1.9.0",
    }
    words = (tmp_path / "words").read_text().split()
    assert words == [
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--report",
        "-",
        "accelerate~=1.9.0",
    ]


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("echo 'no such option: --dry-run' >&2; exit 2", None),
        ("echo '[]'", None),
        ("echo nonsense", None),
        ("echo 'ERROR: No matching distribution found for x' >&2; exit 1", "No matching"),
    ],
)
def test_pip_that_cannot_say_is_told_apart_from_pip_that_refuses(
    script: str, answer: str | None, tmp_path: Path
) -> None:
    found = resolve.ask(pip(tmp_path, script), HERE, ["x~=1.0"])
    if answer is None:
        assert found is None
    else:
        assert isinstance(found, Failure)
        assert answer in found.why
        assert not found.conflict


def test_an_old_pip_leaves_the_answer_to_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, " - accelerate==1.8.0\n + accelerate==1.9.0\n")
    manager = pip(tmp_path, "echo 'no such option' >&2; exit 2", has_uv=True)
    found = resolve.ask(manager, HERE, ["accelerate~=1.9.0"])
    assert isinstance(found, dict)
    assert found["accelerate"] == "1.9.0"


def test_pip_that_does_not_start_is_a_failure(tmp_path: Path) -> None:
    found = resolve.ask(Manager(managers.VENV, "/none/python", tmp_path), HERE, ["a~=1.0"])
    assert found == Failure("pip cannot be started: No such file or directory")


def project(folder: Path) -> Manager:
    """Return a uv project."""
    (folder / "pyproject.toml").write_text("[project]\nname='a'\n")
    (folder / "uv.lock").write_text("version = 1\n")
    return Manager(
        managers.UV_PROJECT, sys.executable, folder / ".venv", folder, folder / "uv.lock",
        has_uv=True, has_pip=False,
    )  # fmt: skip


def test_a_project_is_resolved_in_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".python-version").write_text("3.11")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    folders = []

    def run(words: Sequence[str], *_: Any, **__: Any) -> Any:
        folder = Path(words[words.index("--project") + 1])
        assert (folder / ".python-version").is_file()
        (folder / "uv.lock").write_text("changed")
        folders.append(folder)
        out = "accelerate==1.9.0\nholder==2 ; python_version < '4'\nunused==1\n"
        return subprocess.CompletedProcess(words, 0, out, "")

    monkeypatch.setattr(resolver, "run", run)
    manager = project(tmp_path)
    found = resolve.ask(manager, HERE, ["accelerate~=1.9.0", "unused"])
    assert found == {"holder": "2", "accelerate": "1.9.0", "tokenizers": "0.21.4", "unused": "1"}
    assert len(folders) == 2
    assert not folders[0].exists()
    now = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert now.items() >= before.items()


def test_a_project_that_cannot_be_copied_is_asked_about_as_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answers(monkeypatch, Failure("../sibling is not there"), " + new==1\n")
    assert resolve.ask(project(tmp_path), HERE, ["new~=1.0"]) == {**HERE.versions, "new": "1"}
    assert [words[2] for words in calls][1] == "pip"
    answers(monkeypatch, Failure("a depends on b", conflict=True))
    assert resolve.ask(project(tmp_path), HERE, ["new~=1.0"]) == Failure("a depends on b", True)


def planned(*versions: str) -> list[Plan]:
    """Return plans that change accelerate to these versions, the cheapest first."""
    return [
        Plan((f"accelerate~={each}",), (), (), (), versions={"accelerate": each})
        for each in versions
    ]


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be three plans, and describe a change as what was asked for."""
    monkeypatch.setattr(fix_plan, "plans", lambda *_, **__: planned("1.9.0", "1.10.0", "1.11.0"))
    monkeypatch.setattr(fix_plan, "between", lambda _, after, plan, *__, **___: plan)


def find(installed: Installed = HERE) -> resolve.Resolved:
    """Resolve for the environment."""
    return resolve.resolve(UV, installed, {"accelerate": "1.8.0", "python": "3.11.7"})


@pytest.mark.usefixtures("three")
def test_after_a_conflict_the_next_plan_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(
        monkeypatch,
        Failure("holder depends on accelerate<1.9", conflict=True),
        " - accelerate==1.8.0\n + accelerate==1.10.1\n + new==1\n",
    )
    found = find()
    assert found.plan.requirements == ("accelerate~=1.10.0",)
    assert found.versions == {"accelerate": "1.10.1", "python": "3.11.7"}
    assert found.checked
    assert found.adds == ("new",)
    assert found.refused == ((("accelerate~=1.9.0",), "holder depends on accelerate<1.9"),)


@pytest.mark.usefixtures("three")
def test_what_another_package_would_not_bear_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = [f" - accelerate==1.8.0\n + accelerate=={each}\n" for each in ("1.9", "1.10", "1.11")]
    answers(monkeypatch, *changes)
    found = find(environment(["accelerate<1.11,>=1.10"], accelerate="1.10"))
    assert found.plan.requirements == ("accelerate~=1.10.0",)
    answers(monkeypatch, *changes)
    found = find(environment(["accelerate<1.9"], accelerate="1.8.0"))
    assert found.plan == fix_plan.NOTHING
    assert [why for _, why in found.refused] == ["holder 1 requires accelerate<1.9"] * 3


@pytest.mark.usefixtures("three")
def test_an_index_that_does_not_answer_says_nothing_about_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers(monkeypatch, Failure("Failed to fetch: `https://dead/a/` cause: tcp cause: refused"))
    with pytest.raises(UserError) as caught:
        find()
    assert caught.value.message.endswith(
        ": Failed to fetch: `https://dead/a/`: refused; nothing was changed"
    )
    assert caught.value.next_step.startswith("check the network")


@pytest.mark.usefixtures("three")
def test_where_nobody_can_be_asked_the_plan_is_not_checked() -> None:
    nobody = Manager(managers.POETRY, "python", Path("/env"), has_pip=False, has_uv=False)
    found = resolve.resolve(nobody, HERE, {"accelerate": "1.8.0"})
    assert (found.checked, found.versions) == (False, {"accelerate": "1.9.0"})
    picky = environment(["accelerate!=1.9.0"], accelerate="1.8.0")
    found = resolve.resolve(nobody, picky, {"accelerate": "1.8.0"})
    assert found.versions == {"accelerate": "1.10.0"}


def test_the_installers_own_choice_must_not_bring_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(versions: Mapping[str, str]) -> Collection[str]:
        return ["trl needs what is gone"] if versions["accelerate"] == "1.9.7" else []

    facts = Facts(lambda _: (), lambda *_: (), breaks, lambda _: False)
    plans = planned("1.9.0", "1.10.0")
    monkeypatch.setattr(fix_plan, "plans", lambda *_, **__: plans)
    outputs = [f" - accelerate==1.8.0\n + accelerate=={each}\n" for each in ("1.9.7", "1.10.0")]
    answers(monkeypatch, *outputs)
    found = resolve.resolve(UV, HERE, {"accelerate": "1.8.0"}, facts=facts)
    assert found.versions == {"accelerate": "1.10.0"}
    assert found.refused[0][1] == "the installer's choice breaks: trl needs what is gone"


def test_not_every_plan_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    many = planned(*(f"1.{number}.0" for number in range(9, 40)))
    monkeypatch.setattr(fix_plan, "plans", lambda *_, **__: iter(many))
    calls = answers(monkeypatch, *[Failure("a depends on b", conflict=True)] * 31)
    assert find().plan == fix_plan.NOTHING
    assert len(calls) == 12


def test_of_a_lock_for_several_pythons_that_of_this_one_counts() -> None:
    exported = """# exported by uv
numpy==2.4.6 ; python_full_version < '3.12'
numpy==2.5.5 ; python_full_version >= '3.12'
accelerate==1.15.0
-e .
"""
    assert resolve._pins(exported, "3.11.7") == {"numpy": "2.4.6", "accelerate": "1.15.0"}
    assert resolve._pins(exported, "3.13.0")["numpy"] == "2.5.5"
