"""The log of a program's output: times, streams, rotation, and a disk that fills up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metalassay import files
from metalassay.errors import UserError
from metalassay.supervise import output_log
from metalassay.supervise.output_log import OutputLog


def lines(path: Path) -> list[str]:
    """Return the lines without their times, which are checked to be there."""
    stamped = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<rest>.*)", re.DOTALL)
    matches = [stamped.fullmatch(line) for line in path.read_text("utf-8").splitlines()]
    assert all(matches)
    return [match["rest"] for match in matches if match]


def test_each_line_has_its_time_and_stream_however_it_arrives(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "run.log", pytest.fail)
    log.say("start 1: python train.py")
    for part in (b"st", b"ep 1\nstep", b" 2\r\n"):
        log.write("out", part)
    log.write("err", b"no newline")
    log.write("out", b"last\n")
    log.close()
    assert lines(log.path) == [
        "run | start 1: python train.py",
        "out | step 1",
        "out | step 2",
        "out | last",
        "err | no newline",
    ]


def test_a_progress_bar_is_kept_now_and_then_and_its_end_always(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "run.log", pytest.fail)
    for step in range(100):
        log.write("err", f"{step} %\r".encode())
    log.write("err", b"100 %\n")
    log.close()
    assert lines(log.path) == ["err | 0 %", "err | 100 %"]


def test_a_log_that_exists_is_continued(tmp_path: Path) -> None:
    for text in ("first", "second"):
        log = OutputLog(tmp_path / "run.log", pytest.fail)
        log.say(text)
        log.close()
    assert lines(tmp_path / "run.log") == ["run | first", "run | second"]


def test_old_parts_are_rotated_away(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "run.log", pytest.fail, largest=200)
    for number in range(100):
        log.write("out", f"line {number}\n".encode())
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["run.log", *(f"run.log.{number}" for number in range(1, 6))]
    kept = [line for name in [*names[:0:-1], names[0]] for line in lines(tmp_path / name)]
    assert kept == [f"out | line {number}" for number in range(100 - len(kept), 100)]
    assert all((tmp_path / name).stat().st_size <= 200 for name in names)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_ends_the_log_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115  (the log closes it)
    monkeypatch.setattr(files, "open_to_append", lambda path: full)
    (tmp_path / "run.log").touch()
    said: list[str] = []
    log = OutputLog(tmp_path / "run.log", said.append)
    log.write("out", b"one\ntwo\n")
    log.say("three")
    log.close()
    assert said == [f"{tmp_path / 'run.log'} ends here: No space left on device"]


def test_a_line_that_never_ends_does_not_wait_in_memory_for_its_end(tmp_path: Path) -> None:
    log = OutputLog(tmp_path / "run.log", pytest.fail)
    log.write("out", b"x" * (output_log._LONGEST_LINE + 1))
    assert lines(log.path) == ["out | " + "x" * (output_log._LONGEST_LINE + 1)]
    log.close()


@pytest.mark.parametrize(("name", "said"), [("", "is a folder"), ("no/run.log", "does not exist")])
def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        OutputLog(tmp_path / name, pytest.fail)


def test_a_file_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(
        files, "open_to_append", refuse
    )  # the tests may run as root, who may write anything
    with pytest.raises(UserError, match="Permission denied"):
        OutputLog(tmp_path / "run.log", pytest.fail)
