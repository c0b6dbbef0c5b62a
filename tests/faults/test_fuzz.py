"""Hostile inputs and interrupts for every command, and proof that the suite sees what it is for."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults import commands, fuzz, hostile, inputs, interrupt, run_input
from tests.faults.commands import Row
from tests.faults.inputs import Input

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, pidfds and /proc of Linux")

INPUTS, FAULTS = 2000, 50
SEED = int(os.environ.get("METALASSAY_FUZZ_SEED") or 20_261_129)
"""The first seed. The same in every run, so that a change is red for what it changes; `nox -s fuzz` draws new ones."""

ROW = Row("toy", ())


def test_every_command_has_a_row_and_every_row_a_command() -> None:
    rows, parsers = commands.load(), commands.parsers()
    assert set(rows) == set(parsers)
    for row in rows.values():
        assert bool(row.works) != bool(row.short), f"{row.command}: either `works` or `short`"
        for each in row.valid:
            assert (run_input.ROOT / each).is_file(), each
        options = {
            name for action in parsers[row.command]._actions for name in action.option_strings
        }
        assert set(row.forbidden) <= options, f"{row.command} has no such option"


def test_an_input_is_the_same_for_the_same_seed_and_survives_its_file() -> None:
    for seed in range(200):
        given = inputs.make(fuzz.ROWS, fuzz.PARSERS, seed)
        assert given == inputs.make(fuzz.ROWS, fuzz.PARSERS, seed)
        assert Input.from_json(json.loads(json.dumps(given.as_json()))) == given


def test_nothing_that_changes_an_environment_is_ever_asked_for() -> None:
    for seed in range(5000):
        given = inputs.make(
            fuzz.ROWS, fuzz.PARSERS, seed, random.Random(seed).choice(["fix", "doctor"])
        )
        for word in given.arguments:
            assert word.partition("=")[0] not in ("--apply", "--yes", "--fix", "--undo")
            assert not any(
                len(word) > 2 and each.startswith(word) for each in inputs.FORBIDDEN_WORDS
            ), word


def test_every_kind_of_file_is_made(tmp_path: Path) -> None:
    for number, (kind, make) in enumerate(hostile.FILES.items()):
        make(tmp_path / str(number), random.Random(number), b'{"a": [1, 2]}')
        assert os.path.lexists(tmp_path / str(number)), kind


def test_mutations_depend_on_their_seed_alone() -> None:
    def mutations() -> list[bytes]:
        return [
            hostile._mutated(b'{"a": [1, {"b": [2, 3]}], "c": "d"}', random.Random(seed))
            for seed in range(500)
        ]

    assert mutations() == mutations()


def test_hostile_inputs_of_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nMETALASSAY_FUZZ_SEED={SEED}")  # noqa: T201  (the run can be repeated)
    counts, _, failures = fuzz.many(range(SEED, SEED + INPUTS), 2, progress=lambda text: None)
    assert counts.total() == INPUTS
    assert [(given.as_json(), wrong) for given, wrong in failures] == []


def test_commands_that_are_interrupted_at_any_time() -> None:
    faults = interrupt.many(interrupt.draw(fuzz.ROWS, SEED, FAULTS), SEED, 4)
    assert len(faults) == FAULTS
    assert [fault for fault in faults if fault.wrong] == []


@pytest.mark.parametrize("path", sorted(fuzz.KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_what_failed_once_does_not_fail_again(path: Path) -> None:
    value = json.loads(path.read_text("utf-8"))
    value.pop("faults")
    assert fuzz.tried(Input.from_json(value))[1] == []


# The suite itself: programs with one fault each.


def _raises(words: Sequence[str]) -> int:
    raise KeyError("nobody expects it")


def _hangs(words: Sequence[str]) -> int:
    time.sleep(60)
    return 0


def _dies(words: Sequence[str]) -> int:
    os.kill(os.getpid(), signal.SIGUSR1)
    return 0


def _changes_an_earlier_result(words: Sequence[str]) -> int:
    Path("earlier-result.json").write_text("")
    return 0


def _replaces_a_pipe(words: Sequence[str]) -> int:
    Path("other").write_text("")
    Path("other").replace("a.json")
    return 0


def _leaves_a_torn_file(words: Sequence[str]) -> int:
    Path(".a.json.12345678.part").write_text("half")
    return 0


def _prints_control_characters(words: Sequence[str]) -> int:
    sys.stdout.write("\x1b[31m")
    return 0


def _says_nothing(words: Sequence[str]) -> int:
    return 2


def _does_not_say_what_next(words: Sequence[str]) -> int:
    sys.stderr.write("metalassay: no\n")
    return 2


def _has_a_code_of_its_own(words: Sequence[str]) -> int:
    return 9


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (_raises, "traceback: KeyError"),
        (_hangs, "hang"),
        (_dies, "signal"),
        (_changes_an_earlier_result, "left"),
        (_replaces_a_pipe, "left"),
        (_leaves_a_torn_file, "left"),
        (_prints_control_characters, "control"),
        (_says_nothing, "message"),
        (_does_not_say_what_next, "message"),
        (_has_a_code_of_its_own, "code"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_kind_of_fault_is_seen(
    program: run_input.Program, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_input, "SLOW", 1.0)
    row = Row("toy", (), weight=20)
    given = Input("toy", (), {"a.json": "pipe"})
    outcome = run_input.run(program, given, row)
    assert [fuzz.kind(each) for each in run_input.faults(given, row, outcome)] == [kind]


def test_a_program_without_faults_passes() -> None:
    def prints(words: Sequence[str]) -> int:
        sys.stdout.write(" ".join(words).replace("\n", "\r\n"))
        return 1

    given = Input("toy", ("größer",))
    outcome = run_input.run(prints, given, ROW)
    assert (outcome.out, outcome.code) == ("toy größer", 1)
    assert run_input.faults(given, ROW, outcome) == []


def test_surroundings_are_what_they_say() -> None:
    def says(words: Sequence[str]) -> int:
        try:
            here = str(Path.cwd())
        except FileNotFoundError:
            here = "gone"
        text = f"{here} {os.environ.get('PATH')} {sys.stdin is None}\n"
        (sys.stderr or sys.stdout).write(text)
        sys.stdout.write("é\n" if sys.stdout.encoding == "utf-8" else sys.stdout.encoding)
        sys.stdout.flush()
        return 0

    def run(surroundings: str) -> run_input.Outcome:
        return run_input.run(says, Input("toy", (), surroundings=surroundings), ROW)

    assert run("plain").out == "é\n"
    assert run("deleted folder").err.startswith("gone ")
    assert " None False" in run("no PATH").err
    assert run("closed stdin").err.endswith(" True\n")
    assert run("ASCII").out == "ascii"
    assert "No space left" in run("full stdout").err
    assert "BrokenPipeError" in run("unread stdout").err
    assert "NoneType" in run("closed stdout").err


def test_a_failure_is_made_smaller_while_its_kind_stays() -> None:
    given = Input(
        "toy", ("a", "bad" + "x" * 100, "c"), {"f": "pipe", "g": "nul"}, "nul", "no PATH", 1
    )

    def fails(one: Input) -> list[str]:
        return (
            ["code: 9"] if any("bad" in word for word in one.arguments) and "g" in one.files else []
        )

    least = fuzz.smaller(given, "code: 9", fails)
    assert least.files == {"g": "valid"}
    assert (least.stdin, least.surroundings) == ("", "plain")
    (word,) = least.arguments
    assert word.startswith("bad")
    assert len(word) <= 20


ORPHAN = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])"
TRAPS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
TORN = "open('.x.json.part', 'w').write('{'); open('x.json', 'w').write('{')"


@pytest.mark.parametrize(
    ("source", "kinds"),
    [(ORPHAN, {"orphan"}), (TRAPS, {"hang", "code"}), (TORN, {"left", "half-written"})],
    ids=["orphan", "ignores SIGTERM", "torn"],
)
def test_each_trace_of_an_interrupt_is_seen(
    source: str, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def planted(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return start([sys.executable, "-c", source], **options)  # type: ignore[call-overload,no-any-return]

    late = _Late()
    monkeypatch.setattr(interrupt, "_END", 1.0)
    monkeypatch.setattr(subprocess, "Popen", planted)
    monkeypatch.setattr(random, "Random", lambda _: late)
    fault = interrupt.interrupt(Row("toy", (), works=("x",)), "SIGTERM", 1)
    assert {each.partition(":")[0] for each in fault.wrong} == kinds


class _Late(random.Random):
    def choice(self, several: Sequence[float]) -> float:  # type: ignore[override]
        return 1.0
