"""The first signal raises one KeyboardInterrupt, where it does no harm; later ones raise none."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from foreground import foreground

from metalassay import interrupts
from metalassay.interrupts import Interrupts

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put SIGTERM and SIGHUP back too, after ``ignore``."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)  # a job in the background may ignore SIGHUP
    with foreground():
        yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_noted_and_raised_where_it_is_asked_for(number: signal.Signals) -> None:
    with Interrupts() as caught:
        caught.check()
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            caught.check()
        caught.requested = False  # or the end would raise it


def test_it_is_raised_at_the_end_if_nobody_has_asked() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts():
        signal.raise_signal(signal.SIGINT)


def test_an_error_on_its_way_is_not_replaced() -> None:
    def body() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError("it has more to say")

    with pytest.raises(ValueError, match="more to say"), Interrupts():
        body()


@pytest.mark.parametrize("number", NUMBERS)
def test_it_ends_a_block_of_what_waits_where_it_is(number: signal.Signals) -> None:
    def wait() -> None:
        signal.raise_signal(number)
        threading.Event().wait(600)

    with pytest.raises(KeyboardInterrupt), Interrupts() as caught, caught.at_once():
        wait()


def test_such_a_block_does_not_begin_after_a_signal() -> None:
    def body(caught: Interrupts) -> None:
        signal.raise_signal(signal.SIGINT)
        with caught.at_once():
            pytest.fail("it began")

    with pytest.raises(KeyboardInterrupt), Interrupts() as caught:
        body(caught)


def test_a_finaliser_may_swallow_it_but_not_for_long() -> None:
    """Python prints what is raised in a finaliser, and goes on."""

    def body(caught: Interrupts) -> None:
        with caught.at_once(), contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt), Interrupts() as caught:
        body(caught)


def test_later_signals_leave_the_clean_up_alone() -> None:
    cleaned = []

    def body() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            for number in NUMBERS:
                signal.raise_signal(number)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), Interrupts() as caught, caught.at_once():
        body()
    assert cleaned


def test_the_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with Interrupts():
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_a_signal_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts() as caught:
        signal.raise_signal(signal.SIGINT)
        assert not caught.requested


def test_outside_the_main_thread_it_does_nothing() -> None:
    done = []

    def body() -> None:
        with Interrupts() as caught, caught.at_once():
            done.append(True)
        interrupts.ignore()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("number", NUMBERS)
def test_a_program_that_ends_anyway_ends_with_its_own_code(number: signal.Signals) -> None:
    """Python gives handlers up while it shuts down; without ``ignore`` the signal would kill it there."""
    program = f"""
import atexit, signal, sys
from metalassay import interrupts
class Late:
    def __del__(self):
        signal.raise_signal({int(number)})
sys.late = Late()
atexit.register(signal.raise_signal, {int(number)})
interrupts.ignore()
sys.exit(130)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_the_end_of_a_terminal_and_of_a_process_are_told_from_ctrl_c() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.getsignal(number)
        signal.signal(number, signal.SIG_DFL)
        try:
            with pytest.raises(interrupts.TerminatedError), interrupts.end_as_ctrl_c():
                signal.raise_signal(number)
            assert signal.getsignal(number) is signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN)
            with interrupts.end_as_ctrl_c():
                signal.raise_signal(number)  # nohup means it
        finally:
            signal.signal(number, before)


def test_a_signal_that_python_would_swallow_comes_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)
            ended.append(True)

    ended: list[bool] = []

    def forget() -> None:
        with interrupts.end_as_ctrl_c():
            Finalised()
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        forget()
    assert ended == [True]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_import_that_catches_every_error_ends_at_once(number: signal.Signals) -> None:
    source = (
        "import signal, sys; from metalassay import interrupts\n"
        "with interrupts.end_at_once():\n"
        f"    try:\n        signal.raise_signal({int(number)})\n"
        "    except BaseException:\n        print('caught')\nprint('went on')"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "metalassay: interrupted\n")
