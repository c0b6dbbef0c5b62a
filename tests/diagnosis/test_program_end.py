"""Which exception of a log ended the program, and what the others are."""

from __future__ import annotations

import pytest

from metalassay.bugs import tracebacks
from metalassay.diagnosis import program_end, traceback_frames

SITE = "/home/u/lib/python3.11/site-packages"


def ended(text: str) -> str | None:
    event = program_end.read(tracebacks.clean(text)).ended
    return event.line if event else None


def roles(text: str) -> dict[str, str]:
    """Return the role of every exception, by its type and message."""
    return {each.line: each.role for each in program_end.read(tracebacks.clean(text)).events}


TWO_RANKS = f"""\
[rank0]: Traceback (most recent call last):
[rank1]: Traceback (most recent call last):
[rank0]:   File "/home/u/train.py", line 12, in main
[rank1]:   File "{SITE}/torch/nn/modules/module.py", line 12, in _call_impl
[rank1]: ValueError: one
[rank0]: KeyError: 'zero'
"""


def test_of_interleaved_ranks_the_one_that_failed_first_decides() -> None:
    log = program_end.read(TWO_RANKS)
    assert [(each.line, each.rank, each.role) for each in log.events] == [
        ("KeyError: 'zero'", "0", "rank"),
        ("ValueError: one", "1", "ended"),
    ]
    assert [each.frames[0].library for each in log.events] == ["", "torch"]
    assert log.ended is not None
    assert log.text[log.ended.start : log.ended.end].splitlines()[0].startswith("Traceback")
    assert "[rank" not in log.text


def test_a_rank_may_fail_twice_and_its_last_exception_counts() -> None:
    text = "[rank0]: ValueError: first\n[rank1]: KeyError: 1\n[rank0]: TypeError: last\n"
    assert roles(text) == {
        "ValueError: first": "earlier",
        "KeyError: 1": "ended",
        "TypeError: last": "rank",
    }


def test_torchrun_names_the_rank_that_failed_first() -> None:
    summary = (
        "Root Cause (first observed failure):\n[0]:\n  time : x\n  rank      : 0 (local_rank: 0)\n"
    )
    assert ended(TWO_RANKS + "ChildFailedError: train.py FAILED\n" + summary) == "KeyError: 'zero'"


@pytest.mark.parametrize(
    "mark",
    [
        "[rank0]: ",
        "[rank0]:",
        "[default3]:",
        "[0]: ",
        "[1,0]<stderr>:",
        "stderr: [rank1]: ",
        "stderr: ",
        "(pid=4711) ",
        "(RayTrainWorker pid=12, ip=10.0.0.1) ",
        "trainer-1  | ",
        "2026-01-02T10:11:12.345Z worker-7 ",
        "2026-01-02 10:11:12,345 ERROR ",
        "> ",
        "",
    ],
)
def test_marks_before_the_lines_are_recognised(mark: str) -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "/home/u/train.py", line 12, in main',
        "    loss.backward()",
        "ValueError: the message",
        "goes on",
    ]
    text = "".join(f"{mark}{line}\n" for line in lines)
    log = program_end.read(tracebacks.clean(text))
    assert log.ended is not None
    assert log.ended.line == "ValueError: the message"
    assert [frame.number for frame in log.ended.frames] == [12]
    assert log.text[log.ended.position : log.ended.end] == "ValueError: the message\ngoes on\n"


def test_time_stamps_in_marks_may_differ() -> None:
    lines = TRACE.splitlines(keepends=True)
    text = "".join(f"10:11:{number:02} w0 | {line}" for number, line in enumerate(lines))
    assert ended(text) == "CustomFailure: no"


TRACE = f"""\
Traceback (most recent call last):
  File "/home/u/train.py", line 3, in <module>
    run()
  File "{SITE}/accelerate/data_loader.py", line 576, in __iter__
    ^^^^^
CustomFailure: no
"""
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"KeyError: 1\n{CAUSE}ValueError: 2\n", ["cause", "ended"]),
        (f"KeyError: 1\n{CONTEXT}ValueError: 2\n", ["context", "ended"]),
        (
            f"KeyError: 1\n{CONTEXT}ValueError: 2\n{CAUSE}TypeError: 3\n",
            ["context", "cause", "ended"],
        ),
        (
            f"KeyError: 1\n{CAUSE}ValueError: 2\n{CONTEXT}TypeError: 3\n",
            ["context", "context", "ended"],
        ),
        ("KeyError: 1\nepoch 2\nValueError: 2\n", ["earlier", "ended"]),
        ("a.py:3: UserWarning: old\nValueError: 2\n", ["warning", "ended"]),
        ("ValueError: 2\na.py:3: UserWarning: old\n", ["ended", "warning"]),
        ("a.py:3: UserWarning: old\n", ["warning"]),
        ("ValueError: 2\nKeyboardInterrupt\n", ["ended", "after"]),
        ("KeyboardInterrupt\n", ["ended"]),
        ("ValueError: 2\nsubprocess.CalledProcessError: Command died\n", ["ended", "after"]),
        (f"ValueError: 2\nException ignored in: <function f>\n{TRACE}", ["ended", "after"]),
        (
            "ValueError: 2\nRuntimeError: DataLoader worker (pid 7) exited unexpectedly\n",
            ["ended", "after"],
        ),
        ("ValueError: 2\nzsh: killed     python train.py\n", ["earlier", "ended"]),
        (
            "a.mm:850: failed assertion `x'\n[1]    13512 abort      python a.py\n",
            ["ended", "after"],
        ),
        (
            "OMP: Error #15: x\nFatal Python error: Aborted\n\nzsh: abort      python a.py\n",
            ["ended", "after", "after"],
        ),
        ("LLVM ERROR: x\nAbort trap: 6\n", ["ended", "after"]),
        ("a.mm:850: failed assertion `x'\nzsh: killed     python a.py\n", ["earlier", "ended"]),
        (
            "Fatal Python error: Aborted\nValueError: 1\nzsh: abort  python\n",
            ["earlier"] * 2 + ["ended"],
        ),
        ("RuntimeError: Caught KeyError in worker 0.\nOriginal " + TRACE, ["earlier", "ended"]),
        (TRACE, ["ended"]),
        ("all is well\n", []),
    ],
)
def test_every_exception_has_a_role(text: str, expected: list[str]) -> None:
    assert [each.role for each in program_end.read(tracebacks.clean(text)).events] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ValueError: a: KeyError: b", "ValueError: a: KeyError: b"),
        ("failed: KeyError('x')", "KeyError('x')"),
        ("    raise ValueError('x')\nKeyError: 1", "KeyError: 1"),
        ("except ValueError:\n    pass", None),
        ("no error: all is well", None),
        (TRACE.replace("CustomFailure: no", "AssertionError"), "AssertionError"),
        ("zsh: segmentation fault  python a.py", "zsh: segmentation fault python a.py"),
        ("[1]    4711 killed     python train.py", "[1] 4711 killed python train.py"),
        (
            "Process finished with exit code 137 (interrupted by signal 9: SIGKILL)",
            "Process finished with exit code 137 (interrupted by signal 9: SIGKILL)",
        ),
        ("Process finished with exit code 1", None),
        ("a.mm:1: failed assertion `x'", "a.mm:1: failed assertion `x'"),
    ],
)
def test_only_what_was_raised_is_an_exception(text: str, said: str | None) -> None:
    assert ended(text) == said


@pytest.mark.parametrize(
    ("file", "package"),
    [
        (f"{SITE}/torch/nn/modules/module.py", "torch"),
        (f"{SITE}/six.py", "six"),
        ("C:\\Python\\Lib\\site-packages\\trl\\a.py", "trl"),
        ("/usr/lib/python3/dist-packages/numpy/core.py", "numpy"),
        ("/usr/lib/python3.11/runpy.py", "python"),
        ("<frozen importlib._bootstrap>", "python"),
        ("/home/u/transformers/src/transformers/trainer.py", "transformers"),
        ("/home/u/torch/train.py", ""),
        ("train.py", ""),
    ],
)
def test_a_frame_belongs_to_a_package_to_python_or_to_the_user(file: str, package: str) -> None:
    assert traceback_frames.library_of(file)[0] == package


@pytest.mark.parametrize(
    "frame",
    [
        f"{SITE}/trl/trainer.py:12 in train",
        f"File {SITE}/trl/trainer.py:12, in train(self)",
        f'  File "{SITE}/trl/trainer.py", line 12, in train',
    ],
    ids=["rich", "IPython", "Python"],
)
def test_frames_of_rich_and_ipython_are_read(frame: str) -> None:
    log = program_end.read(f"{frame}\n    code\n\nTypeError: no\n")
    assert log.ended is not None
    [read] = log.ended.frames
    assert (read.library, read.number, read.function) == ("trl", 12, "train")


def test_an_offset_belongs_to_the_exception_whose_traceback_contains_it() -> None:
    log = program_end.read(f"before\n{TRACE}after\n")
    assert [
        log.role_at(log.text.index(word)) for word in ("before", "data_loader", "no\n", "after")
    ] == [
        "line",
        "ended",
        "ended",
        "ended",
    ]
    assert program_end.read("no exception\n").role_at(3) == "ended"


def test_a_traceback_of_a_notebook_is_read() -> None:
    text = (
        "---------------------------------------------------------------------------\n"
        "RuntimeError                              Traceback (most recent call last)\n"
        "Cell In[26], line 2\n"
        "----> 2 trainer.train()\n\n"
        f"File {SITE}/transformers/trainer.py:2245, in Trainer.train(self, **kwargs)\n"
        "   2244 else:\n"
        "-> 2245     return inner_training_loop(\n\n"
        "RuntimeError: no memory\n"
    )
    log = program_end.read(tracebacks.clean(text))
    assert [each.line for each in log.events] == ["RuntimeError: no memory"]
    assert [each.library for each in log.events[0].frames] == ["", "transformers"]
