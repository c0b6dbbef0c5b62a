"""`metalassay env`: what shells make of its output, what it explains, and what its measurement means."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metalassay import compare
from metalassay.cli.main import main
from metalassay.compare import Comparison
from metalassay.environment import interpreters, settings, settings_text
from metalassay.environment.settings import HIGH, LOW, Setting
from metalassay.statistics.decision import Decision

MARK = "metalassay-test"


def chosen(**values: str | None) -> tuple[Setting, ...]:
    """Return settings with these values; None stands for one that is the user's."""
    rules = {rule.variable: rule for rule in settings.load()}
    return tuple(
        Setting(rules[name], yours="mine") if value is None else Setting(rules[name], value=value)
        for name, value in values.items()
    )


@pytest.fixture
def awkward(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let values be chosen that are of no use but that need quotes."""
    values = {
        "UV_HTTP_TIMEOUT": "120",
        "HF_HUB_ETAG_TIMEOUT": 'it\'s $HOME `id` \\ "x"',
        "HF_HUB_DOWNLOAD_TIMEOUT": "two  words; # and more",
    }
    monkeypatch.setattr(settings, "here", lambda *_, **__: chosen(**values))
    return values


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["env", *arguments]) == code
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("shell", ["bash", "sh", "dash", "zsh", "fish"])
def test_the_shell_reads_what_is_printed_for_it(
    shell: str, awkward: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    syntax = settings_text.shell_of(f"/bin/{shell}")
    assert syntax is not None
    (tmp_path / "out").write_text(printed(capsys, "--shell", syntax))
    show = f"import os, json; print(json.dumps({{n: os.environ[n] for n in {list(awkward)!r}}}))"
    (tmp_path / "show.py").write_text(show)
    python = f'"{sys.executable}" "{tmp_path}/show.py"'
    # As the help says: eval of the output, and in fish source.
    line = "cat out | source" if shell == "fish" else 'eval "$(cat out)"'
    done = subprocess.run(
        [program, "-c", f"{line}; {python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == awkward
    assert done.stderr == ""


def test_a_dotenv_file_has_one_assignment_per_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "here", lambda *_, **__: chosen(**{HIGH: "1.2", LOW: "0.98"}))
    lines = printed(capsys, "--shell", "dotenv").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == [
        f"{HIGH}=1.2",
        f"{LOW}=0.98",
    ]


def test_json_says_what_to_set_and_everything_about_it(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, "--shell", "json"))
    assert document["schema"] == "metalassay.environment/1"
    assert document["set"] == settings.environment()
    known = {each["variable"]: each for each in document["settings"]}
    assert known["UV_HTTP_TIMEOUT"]["sure"] == "documented"
    assert document == json.loads(printed(capsys, "--json"))


@pytest.mark.parametrize(
    ("shell", "begins"),
    [
        ("/bin/bash", "export"),
        ("/usr/local/bin/zsh", "export"),
        ("/opt/homebrew/bin/fish", "set -gx"),
        ("", "export"),
    ],
)
def test_the_syntax_is_that_of_the_users_shell(
    shell: str,
    begins: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SHELL", shell)
    lines = [line for line in printed(capsys).splitlines() if line and not line.startswith("#")]
    assert lines
    assert all(line.startswith(begins) for line in lines)


def test_a_shell_with_another_syntax_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert main(["env"]) == 2
    assert "/bin/tcsh has a syntax of its own\n  next: metalassay env --shell" in (
        capsys.readouterr().err
    )


def test_the_users_own_value_is_named_and_cannot_leave_its_comment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(
        "HF_HUB_ETAG_TIMEOUT", f"1\n\x1b[31m\u2028\rtouch {tmp_path}/{MARK}" + "x" * 99
    )
    out = printed(capsys, "--shell", "bash")
    assert "# Yours, and it stays: HF_HUB_ETAG_TIMEOUT=1 \N{REPLACEMENT CHARACTER}" in out
    assert not {"\x1b", "\r", "\u2028"} & set(out)
    assert "export HF_HUB_ETAG_TIMEOUT" not in out
    assert max(map(len, out.splitlines())) <= 80
    subprocess.run(["/bin/sh", "-c", 'eval "$OUT"'], env={**os.environ, "OUT": out}, check=True)
    assert not (tmp_path / MARK).exists()
    assert "raises a ValueError" in " ".join(out.replace("# ", "").split())


def test_comments_fit_into_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, printed(capsys, "--shell", "bash", "--forks").splitlines())) <= 80


def test_a_program_that_forks_is_said_to_do_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    assert "export TOKENIZERS_PARALLELISM=false" in printed(capsys, "--shell", "bash", "--forks")
    assert "export TOKENIZERS_PARALLELISM" not in printed(capsys, "--shell", "bash")


def test_the_versions_are_those_of_the_environment_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    seen: list[Any] = []
    monkeypatch.setattr(interpreters, "versions_of", lambda _: {"torch": "2.2.0"})

    def here(installed: dict[str, str], **_: object) -> tuple[Setting, ...]:
        seen.append(installed)
        return ()

    monkeypatch.setattr(settings, "here", here)
    assert "torch 2.2.0" in printed(capsys, "--env", str(tmp_path), "--shell", "bash")
    assert seen == [{"torch": "2.2.0"}]


def test_a_missing_environment_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--env", "nowhere"]) == 2
    assert "next:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("UV_HTTP_TIMEOUT", ["set to 120", "documented by its makers", "https://docs.astral.sh"]),
        ("uv_http_timeout", ["UV_HTTP_TIMEOUT"]),
        (f"{HIGH}=0.0", ["misleading", "beware", "removes the memory limit"]),
        (
            "UV_WORKER_COUNT",
            ["left out", "uv does not read it", "refuted", "docs/ledger.md#uv-worker"],
        ),
        ("_PYTHON_HOST_PLATFORM", ["left out"]),
    ],
)
def test_one_variable_is_explained(
    name: str, says: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("UV_HTTP_TIMEOUT", raising=False)
    out = printed(capsys, "--explain", name)
    for text in says:
        assert text in " ".join(out.split())


def test_the_users_value_is_explained_with_what_is_wrong_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "soon")
    out = printed(capsys, "--explain", "HF_HUB_ETAG_TIMEOUT")
    assert "here    yours stays: HF_HUB_ETAG_TIMEOUT=soon" in out
    assert "but     Importing huggingface_hub raises a ValueError" in out


def test_an_unknown_variable_has_near_matches_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "did you mean OMP_NUM_THREADS" in printed(capsys, "--explain", "OMP_NUM_THREAD", code=1)
    assert printed(capsys, "--explain", "ZZZ", code=1) == (
        "nothing is known here about ZZZ; metalassay env lists what is\n"
    )


@pytest.mark.parametrize("name", ["", "a b", "1X", "$HOME"])
def test_what_is_no_name_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--explain", name]) == 2
    assert "is no name of a variable" in capsys.readouterr().err


def test_an_explanation_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(printed(capsys, "--explain", "UV_HTTP_TIMEOUT", "--json"))
    assert [each["variable"] for each in document["settings"]] == ["UV_HTTP_TIMEOUT"]
    document = json.loads(printed(capsys, "--explain", "ARCHFLAGS", "--json"))
    assert [each["variable"] for each in document["left_out"]] == ["ARCHFLAGS"]


def test_what_is_left_out_has_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "--left-out")
    assert "UV_WORKER_COUNT\n  why     uv does not read it" in out
    document = json.loads(printed(capsys, "--left-out", "--json"))
    assert len(document) == len(settings.left_out())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--measure", "gpt-tiny:fly"], "unknown mode 'fly'"),
        (["--measure", "none.py::step"], "none.py: no such file"),
        (["--measure", "gpt-tiny", "--env", "."], "runs in this environment"),
    ],
)
def test_a_measurement_that_cannot_be_made_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_the_answer_has_a_line_per_variable_and_one_per_reason_why_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = {rule.variable: rule for rule in settings.load()}
    given = [
        Setting(rules["MALLOC_TRIM_THRESHOLD_"], value="-1"),
        Setting(rules[HIGH], why_not="it is for macOS"),
        Setting(rules["UV_HTTP_TIMEOUT"], yours="7"),
        Setting(rules[LOW], why_not="it is for macOS"),
    ]
    found = Comparison(
        a="a",
        b="b",
        clock="cpu",
        other_clock="wall",
        decision=Decision(
            "faster", -0.05, -0.06, -0.04, 0.01, 0.0, 6, 0.01, 0.0, 0.0, 0.0, distrusted=None
        ),
        other=None,
        alpha=0.01,
        replicates=6,
        steps=1,
        seconds=1.0,
        interrupted=False,
        notes=("a load of 5",),
        facts={},
        conditions={},
    )
    monkeypatch.setattr(settings, "here", lambda *_, **__: given)
    monkeypatch.setattr(compare, "compare", lambda *_, **__: found)
    assert printed(capsys, "--measure", "mine.py::step:device=cpu").splitlines() == [
        "mine.py::step:device=cpu, cpu: with the variable against without",
        "MALLOC_TRIM_THRESHOLD_=-1",
        "  faster by 5.0% [-6.0%, -4.0%]; CPU time per step",
        f"{HIGH}, {LOW}",
        "  not measured: it is for macOS",
        "UV_HTTP_TIMEOUT=7",
        "  not measured: it is yours, and stays",
        "note: a load of 5",
    ]


@pytest.mark.parametrize(
    ("verdicts", "interrupted", "code"),
    [
        (["same", "faster"], False, 0),
        (["faster", "slower"], False, 1),
        (["slower", "inconclusive"], False, 1),
        (["same", "inconclusive"], False, 3),
        (["inconclusive"], True, 130),
    ],
)
def test_the_exit_code_is_the_worst_verdict(
    verdicts: list[str],
    interrupted: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [
        SimpleNamespace(
            verdict=verdict, interrupted=interrupted, as_dict=lambda v=verdict: {"verdict": v}
        )
        for verdict in verdicts
    ]
    answers = iter([*found, SimpleNamespace(**vars(found[-1]))])
    groups = {"MALLOC_TRIM_THRESHOLD_": "-1"} | (
        {"TOKENIZERS_PARALLELISM": "false"} if len(verdicts) > 1 else {}
    )
    monkeypatch.setattr(settings, "here", lambda *_, **__: chosen(**groups))
    monkeypatch.setattr(compare, "compare", lambda *_, **__: next(answers))
    assert main(["env", "--measure", "mine.py::step:device=cpu", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in document["effects"]][: len(verdicts)] == verdicts
