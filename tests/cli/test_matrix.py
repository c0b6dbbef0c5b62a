"""`metalassay matrix`: what the rows are, how they are distributed, and how a run ends."""

from __future__ import annotations

import json
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from foreground import foreground

from metalassay.cli import matrix, matrix_fleet
from metalassay.cli.main import main
from metalassay.matrix import matrix_file, run_row, run_rows
from metalassay.matrix.run_row import Outcome

ROOT = Path(__file__).parents[2]
ROWS = matrix_file.load(ROOT).rows


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_list_prints_id_time_tags_requirements_and_command_at_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["matrix", "list", "--tag", "quick"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        row.id for row in ROWS.values() if "quick" in row.tags
    ]
    assert '    nox -s "compat(accelerate-1.8.0)"' in lines
    assert "accelerate==1.8.0 torch==2.13.0 transformers==4.52.4" in output
    assert max(map(len, lines)) < 80


def test_list_as_json_has_every_row_with_the_time_of_its_last_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    evidence = ROOT / "docs" / "evidence" / "compat"
    record = json.loads((evidence / "guide.json").read_text("utf-8"))
    record["seconds"] = 4321.0
    (tmp_path / "guide.json").write_text(json.dumps(record), "utf-8")
    assert main(["matrix", "list", "--json", "--output", str(tmp_path)]) == 0
    records = {each["id"]: each for each in json.loads(capsys.readouterr().out)}
    assert set(records) == set(ROWS)
    assert records["guide"]["seconds"] == 4321.0
    assert records["guide"]["python"] == "3.11"
    assert records["guide"]["command"] == 'nox -s "compat(guide)"'
    assert records["guide-3-today"]["seconds"] is None
    assert set(records["guide"]) >= {"requires", "tags", "reason", "bugs", "key"}


def test_list_with_resolve_says_what_has_changed_and_what_cannot_be_resolved(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"accelerate-1.8.0": (None, "connection refused")}
    monkeypatch.setattr(run_row, "key_now", lambda row, _: answers.get(row.id, ("new", "")))
    assert main(["matrix", "list", "--resolve", "accelerate-1.8.0", "accelerate-1.9.0"]) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "cannot be resolved: connection refused" in output
    assert "would run" in output


def test_shards_cover_every_row_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "shard", "--of", "4", "--json"]) == 0
    shards = json.loads(capsys.readouterr().out)
    assert [shard["shard"] for shard in shards] == [1, 2, 3, 4]
    assert sorted(row for shard in shards for row in shard["rows"]) == sorted(ROWS)
    assert main(["matrix", "shard", "--of", "2", "--tag", "quick"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("shard 1 (about ")
    assert max(map(len, lines)) < 80


def outcomes(*states: str) -> Any:
    """Return a run of rows that ends in these states."""
    when = datetime(2026, 11, 28, tzinfo=UTC)

    def run(rows: list[matrix_file.Row], *_: object) -> list[Outcome]:
        return [
            Outcome(row.id, state, "why" if state == "error" else "", 1.0, when)
            for row, state in zip(rows, states, strict=True)
        ]

    return run


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("green", "green"), 0),
        (("green", "not installable"), 0),
        (("green", "red"), 1),
        (("error", "green"), 1),
    ],
)
def test_run_ends_with_1_when_a_row_is_red_or_an_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    states: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setattr(run_rows, "run", outcomes(*states))
    arguments = ["matrix", "run", "accelerate-1.8.0", "accelerate-1.9.0", "--json"]
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert [each["state"] for each in json.loads(captured.out)] == list(states)
    assert "next: metalassay report reports/compat" in captured.err


@pytest.mark.parametrize("where", [[], ["--scheduler", "127.0.0.1"]], ids=["here", "fleet"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_first_row_is_exit_code_130(
    where: list[str],
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(matrix, "_known", lambda *_: signal.raise_signal(number))
    monkeypatch.setattr(run_rows, "run", lambda *_, **__: pytest.fail("it began"))
    monkeypatch.setattr(matrix_fleet, "run", lambda *_, **__: pytest.fail("it began"))
    before = signal.getsignal(signal.SIGTERM)
    with foreground():
        code = main(["matrix", "run", "accelerate-1.8.0", *where])
        after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGTERM, before)
    assert code == 130
    assert after == [signal.SIG_IGN, signal.SIG_IGN]  # a second one would kill Python as it ends
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "no row is named"),
        (["run", "nonsense"], "matrix.toml has no row 'nonsense'"),
        (["list", "--tag", "nonsense"], "no row has the tag 'nonsense'"),
        (["shard"], "the following arguments are required: --of"),
        (["shard", "--of", "0"], "must be a whole number of at least 1, not '0'"),
        (["nonsense"], "there is no action 'nonsense'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code: object = main(["matrix", *arguments])
    except SystemExit as ending:
        code = ending.code
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 2


def test_outside_a_checkout_it_says_where_to_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["matrix", "list"]) == 2
    assert "run this in a checkout of metalassay" in capsys.readouterr().err


@pytest.mark.parametrize("python", ["3.99", "four"])
def test_a_python_that_does_not_exist_is_refused_before_anything_is_installed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    row = '[[row]]\nid = "x"\nrequires = ["torch"]\ntags = ["full"]\nreason = "r"\n'
    (tmp_path / "matrix.toml").write_text(f'{row}python = "{python}"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["matrix", "run", "x"]) == 2
    error = capsys.readouterr().err
    assert "matrix.toml" in error
    assert python in error
    assert list(tmp_path.iterdir()) == [tmp_path / "matrix.toml"]


def test_shards_on_machines_are_the_jobs_of_a_workflow(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["matrix", "shard", "--of", "3", "--tag", "quick", "--machine", "macos-15"]
    assert main([*given, "--machine", "macos-26", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [job["artifact"] for job in found] == [
        f"compat-{machine}-{shard:03}"
        for machine in ("macos-15", "macos-26")
        for shard in (1, 2, 3)
    ]
    assert main(given) == 0
    assert capsys.readouterr().out.startswith("shard compat-macos-15-001 (about ")


@pytest.mark.parametrize("name", ["../x", "a b", "", "$(id)"])
def test_the_name_of_a_machine_is_one_of_a_file(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["matrix", "shard", "--of", "3", "--machine", name])
    assert caught.value.code == 2
    assert "a name of up to 64 letters" in capsys.readouterr().err
