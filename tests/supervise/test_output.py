"""What a program writes is passed on unchanged, and its last part is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay.supervise import output
from metalassay.supervise.output import Output

posix = pytest.mark.skipif(os.name != "posix", reason="no select on pipes on Windows")
pytestmark = posix
RUN = [sys.executable, "-m", "metalassay", "run", "--"]


def run(code: str, **others: object) -> Output:
    with Output(**others) as passed_on:  # type: ignore[arg-type]
        out, err = passed_on.descriptors
        child = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=err)
        passed_on.started()
        child.wait()
        passed_on.drain()
    return passed_on


def test_both_streams_are_passed_on_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[tuple[str, bytes]] = []
    kept = run(
        "import sys; print('one'); print('two', file=sys.stderr)",
        sink=lambda stream, data: seen.append((stream, data)),
    )
    assert capfd.readouterr() == ("one\n", "two\n")
    of = {name: b"".join(data for stream, data in seen if stream == name) for name, _ in seen}
    assert of == {"err": b"two\n", "out": b"one\n"}
    assert sorted(kept.tail().split()) == [b"one", b"two"]
    assert kept.bytes == 8


def test_only_the_last_part_is_kept(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "TAIL", 100)
    kept = run("import sys; sys.stdout.write('a' * 300_000 + 'end')")
    assert kept.tail() == b"a" * 97 + b"end"
    assert capfd.readouterr().out == "a" * 300_000 + "end"


def test_a_program_whose_descendant_keeps_the_output_open_does_not_hold_us_up(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
        "print('done')"
    )
    with Output() as passed_on:
        out, err = passed_on.descriptors
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=out, stderr=err, start_new_session=True
        )
        passed_on.started()
        child.wait()
        passed_on.drain()
        os.killpg(child.pid, 9)
    assert capfd.readouterr().out == "done\n"


def test_one_pipe_for_both_streams_keeps_their_order() -> None:
    code = "import os\nfor number in range(200): os.write(1 + number % 2, f'{number}\\n'.encode())"
    done = subprocess.run(
        [*RUN, sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.stdout.split() == [str(number) for number in range(200)]


def test_a_program_learns_that_nobody_reads_its_output() -> None:
    with subprocess.Popen(
        [*RUN, sys.executable, "-c", "while True: print('x')"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout
        child.stdout.readline()
        child.stdout.close()
        assert child.wait(20) == 1
        assert child.stderr
        assert b"BrokenPipeError" in child.stderr.read()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_finds_no_room_is_said_to_be_lost_and_the_program_goes_on() -> None:
    code = "import time\nfor _ in range(3): print('x', flush=True); time.sleep(0.05)\nraise SystemExit(4)"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*RUN, sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 4  # the program's; 0 would become 74
    assert done.stderr.count("output is lost from here on: No space left on device") == 1


def in_a_terminal(*command: str, keys: bytes = b"", size: tuple[int, int] = (33, 77)) -> str:
    """Return what a command prints in a terminal of ``size`` lines and columns."""
    import fcntl
    import pty
    import struct
    import termios

    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        os.execv(command[0], command)  # noqa: S606
    os.write(terminal, keys)
    shown = b""
    try:
        while data := os.read(terminal, 1000):
            shown += data
    except OSError:  # how Linux reports the end of a terminal
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode()


def test_in_a_terminal_the_program_has_one_too_of_the_same_size() -> None:
    code = (
        "import os, sys\n"
        "print([stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)])\n"
        "print(*os.get_terminal_size(1))"
    )
    shown = in_a_terminal(*RUN, sys.executable, "-c", code)
    assert shown.split("\r\n") == ["[True, True, True]", "77 33", ""]


def test_in_a_terminal_the_program_can_ask() -> None:
    shown = in_a_terminal(
        *RUN, sys.executable, "-c", "print('I am', input('name? '))", keys=b"Eve\n"
    )
    assert shown.split("\r\n")[-2] in ("I am Eve", "name? I am Eve")
