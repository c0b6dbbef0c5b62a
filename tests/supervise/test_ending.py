"""What a program's end means, and whether starting it again can help."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from metalassay.supervise import ending
from metalassay.supervise.ending import Ending, Policy, Seen, classify, decide

# What programs print last, with the cause that it shows.
PRINTED = {
    "out of memory on mps": (
        "RuntimeError: MPS backend out of memory (MPS allocated: 17.66 GB, other allocations: 1.20 GB,"
        " max allowed: 18.13 GB). Tried to allocate 512.00 MB on private pool.",
        "Error: command buffer exited with error status.\n\tThe Metal Performance Shaders operations"
        " encoded on it may not have completed.\n\tError: (null)\n\tInsufficient Memory"
        " (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
        "RuntimeError: Invalid buffer size: 24.00 GiB",
    ),
    "out of memory on cuda": (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    ),
    "out of memory": (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate"
        " memory: you tried to allocate 68719476736 bytes. Error code 12 (Cannot allocate memory)",
        "MemoryError",
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 TiB for an array",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ),
    "not a number": (
        "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0",
        "ValueError: loss is nan at step 12",
        "RuntimeError: Function 'MulBackward0' returned nan values in its 0th output.",
        "ValueError: Input contains NaN.",
    ),
    "zero steps": (
        "metalassay.guard.ZeroStepsError: the training took no step: 2 unique prompts, one generation"
        " batch needs 4, and the sampler drops an incomplete one",
    ),
    "disk full": (
        "OSError: [Errno 28] No space left on device: 'checkpoint-500/optimizer.pt'",
        "RuntimeError: [enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0\n"
        "RuntimeError: PytorchStreamWriter failed writing file data/1: file write failed",
    ),
    "network": (
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max"
        " retries exceeded with url: /api/models/gpt2",
        "httpx.ReadTimeout: The read operation timed out",
        "socket.gaierror: [Errno 8] nodename nor servname provided, or not known",
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files",
        "huggingface_hub.errors.HfHubHTTPError: 503 Server Error: Service Temporarily Unavailable",
        "error: Failed to fetch: `https://example.org/simple/torch/`\n  Caused by: operation timed out",
    ),
    "not started": (
        "ModuleNotFoundError: No module named 'torch'",
        "python3: can't open file '/home/me/no.py': [Errno 2] No such file or directory",
        "train.py: error: unrecognized arguments: --epochz 3",
        "/usr/bin/python3: No module named trainer",
    ),
    "interrupted": ("KeyboardInterrupt",),
    "killed": (
        "RuntimeError: DataLoader worker (pid 4242) is killed by signal: Killed. ",
        "torch.multiprocessing.spawn.ProcessExitedException: process 1 terminated with signal SIGKILL",
        "subprocess.CalledProcessError: Command '['python', 'train.py']' died with <Signals.SIGKILL: 9>.",
    ),
}


@pytest.mark.parametrize(
    ("cause", "text"), [(cause, text) for cause, texts in PRINTED.items() for text in texts]
)
def test_the_last_words_tell_the_cause(cause: str, text: str) -> None:
    output = f"step 1 loss 2.3\nTraceback (most recent call last):\n{text}\n"
    how = classify(1, output, Seen())
    assert how.cause == cause
    assert "Traceback" not in how.says


def test_every_rule_has_an_example_and_known_words() -> None:
    assert {rule.cause for rule in ending.rules()} == {*PRINTED, "a process was killed"} - {
        "killed"
    }
    for rule in ending.rules():
        assert rule.restart in ending.RESTARTS
        assert rule.source
        for pattern in rule.patterns:
            re.compile(pattern)
    text = Path(ending.__file__).with_name("endings.toml").read_text("utf-8")
    assert set(tomllib.loads(text)) == {"ending"}


def test_what_comes_last_decides_not_what_was_survived() -> None:
    output = "ReadTimeout: retrying\n" * 3 + "step 500\nMemoryError\n"
    assert classify(1, output, Seen()).cause == "out of memory"
    assert classify(1, "MemoryError\n" + "step\n" * 3000, Seen()).cause == "exit code 1"


def test_the_exception_that_a_process_reported_decides_before_its_output() -> None:
    seen = Seen(exception="OSError: [Errno 28] No space left on device")
    assert classify(1, "ReadTimeout\n", seen).cause == "disk full"


@pytest.mark.parametrize(
    ("code", "seen", "cause", "says", "restart"),
    [
        (0, Seen(), "finished", "finished", "no"),
        (0, Seen(by_us="it hung"), "ended by metalassay", "it hung", "yes"),
        (-15, Seen(user=True), "interrupted", "you ended it (SIGTERM)", "no"),
        (130, Seen(user=True), "interrupted", "you ended it (SIGINT)", "no"),
        (-9, Seen(oom_kills=1), "killed for memory", "the kernel killed it", "yes"),
        (-9, Seen(free=0.03, free_age=2), "killed for memory", "3 % was free 2 s before", "yes"),
        (-9, Seen(oom_kills=0, free=0.5), "killed", "not by the kernel for memory", "yes"),
        (137, Seen(), "killed", "exit code 137, as after SIGKILL by another program", "yes"),
        (139, Seen(), "signal SIGSEGV", "exit code 139, as after a crash", "progress"),
        (-13, Seen(), "signal SIGPIPE", "whoever read its output has gone", "no"),
        (-24, Seen(), "signal SIGXCPU", "ended from outside (SIGXCPU)", "no"),
        (-14, Seen(), "signal SIGALRM", "ended from outside (SIGALRM)", "no"),
        (-2, Seen(), "signal SIGINT", "ended from outside (SIGINT)", "no"),
        (127, Seen(), "not started", "the shell could not start it", "no"),
        (-15, Seen(), "signal SIGTERM", "ended from outside (SIGTERM)", "no"),
        (-11, Seen(), "signal SIGSEGV", "crashed in native code", "progress"),
        (1, Seen(zero_steps="no step: 0 rows"), "zero steps", "no step: 0 rows", "no"),
        (1, Seen(), "exit code 1", "exit code 1", "progress"),
        (2, Seen(), "exit code 2", "exit code 2", "no"),
        (255, Seen(), "exit code 255", "exit code 255", "progress"),
    ],
)
def test_the_exit_code_and_what_was_seen_tell_the_cause(
    code: int, seen: Seen, cause: str, says: str, restart: str
) -> None:
    how = classify(code, "", seen)
    assert (how.cause, how.restart) == (cause, restart)
    assert says in how.says


def test_the_bars_of_an_exception_group_are_left_out() -> None:
    how = classify(1, "  | ConnectionError: Max retries exceeded with url: /\n", Seen())
    assert how.says == "the network failed: ConnectionError: Max retries exceeded with url: /"


def test_an_abort_says_what_the_native_code_printed() -> None:
    output = "-[MTLBuffer setLabel:]:99: failed assertion `label must not be nil'\nAbort trap: 6\n"
    assert "failed assertion `label must not be nil'" in classify(-6, output, Seen()).says


def test_a_worker_that_the_kernel_killed_is_a_kill_for_memory() -> None:
    text = "RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed."
    assert classify(1, text, Seen(oom_kills=1)).cause == "killed for memory"


FAILED = Ending(
    "exit code 1", "it ended with exit code 1: ValueError: x", "progress", "unexplained"
)
NETWORK = Ending("network", "the network failed: ReadTimeout", "yes", "that may pass")


@pytest.mark.parametrize(
    ("how", "previous", "steps", "left", "known", "again"),
    [
        (NETWORK, None, None, 1, None, True),
        (NETWORK, NETWORK, 0, 1, None, True),
        (NETWORK, None, None, 0, None, False),
        (FAILED, None, None, 1, None, True),
        (FAILED, FAILED, None, 1, None, False),
        (FAILED, FAILED, 100, 1, None, True),
        (FAILED, None, 0, 1, "accelerate-empty-shard", False),
        (FAILED, None, 100, 1, "accelerate-empty-shard", True),
        (replace(FAILED, restart="no"), None, 100, 1, None, False),
        (replace(FAILED, cause="out of memory on mps"), None, 0, 1, None, False),
        (replace(FAILED, cause="out of memory on mps"), None, 900, 1, None, True),
    ],
)
def test_a_restart_is_decided_by_the_cause_and_the_progress(
    how: Ending,
    previous: Ending | None,
    steps: int | None,
    left: int,
    known: str | None,
    again: bool,
) -> None:
    decided, why = decide(how, previous, steps=steps, left=left, known=known)
    assert decided is again
    assert why


def test_the_wait_doubles_with_each_failure_and_has_a_limit() -> None:
    policy = Policy(9, 10)
    assert [policy.wait(failures) for failures in (1, 2, 3)] == [10, 20, 40]
    assert policy.wait(5000) == ending.LONGEST_BACKOFF
