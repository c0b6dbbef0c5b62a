"""The kinds of text that a submission may contain."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.machine import conditions
from metalassay.machine.conditions import Conditions
from metalassay.results import allowed


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        (allowed.chip, "Apple M4 Pro", True),
        (allowed.chip, "Apple M1 (Virtual)", True),
        (allowed.chip, "Intel(R) Core(TM) i7-1065G7 CPU @ 1.30GHz", True),
        (allowed.chip, "AMD EPYC 9B14", True),
        (allowed.chip, "NVIDIA H200", True),
        (allowed.chip, "Apple M4 of Jane", False),
        (allowed.chip, "C02XK1ABCDEF", False),
        (allowed.release, "macOS 15.1", True),
        (allowed.release, "6.18.44-fc-v669", True),
        (allowed.release, "5.15.153.1-microsoft-standard-WSL2", True),
        (allowed.release, "6.8.0-1021-azure", True),
        (allowed.release, "192.168.178.20", False),
        (allowed.release, "jane", False),
        (allowed.version, "2.13.0+cpu", True),
        (allowed.version, "0.1.0.dev0", True),
        (allowed.version, "10.1.2.3", False),
        (allowed.version, "2.13.0+jane", False),
        (allowed.requirement, "torch==2.13.0", True),
        (allowed.requirement, "nvidia-cuda-cccl==13.3.5.0.6", True),
        (allowed.requirement, "huggingface-hub>=0.30.0,<1.0", True),
        (allowed.requirement, "nvidia-cublas==192.168.178.20", False),
        (allowed.requirement, "torch==10.1.2.3", False),
        (allowed.requirement, "jane-private==1.0", False),
        (allowed.requirement, "torch @ file:///Users/jane/w.whl", False),
        (allowed.frame, "trl/import_utils.py:135 __getattr__", True),
        (allowed.frame, "3.11/importlib/__init__.py:126 import_module", True),
        (allowed.frame, "<frozen importlib._bootstrap>:1204 _gcd_import", True),
        (allowed.frame, "code/jane/train.py:3 f", False),
        (allowed.frame, "/Users/jane/torch/x.py:3 f", False),
        (allowed.row, "edge-trl-0.11.4-transformers-4.45.2", True),
        (allowed.row, "jane-venv", False),
        (allowed.command, 'nox -s "compat(edge-0.13.0)"', True),
        (allowed.command, "metalassay matrix run jane", False),
        (allowed.command, "cd /Users/jane && nox", False),
        (allowed.argument, "not slow", True),
        (allowed.argument, "--bug=accelerate-empty-shard", True),
        (allowed.argument, "-k jane", False),
        (allowed.link, "https://github.com/huggingface/accelerate/pull/3659", True),
        (allowed.link, "https://github.com/jane/private/pull/1", False),
    ],
)
def test_a_text_is_kept_where_it_is_of_its_kind(kind: allowed.Kind, text: str, kept: bool) -> None:
    assert kind(text) == (text if kept else None)


def test_what_somebody_added_to_a_version_is_cut() -> None:
    assert allowed.installed_version("2.13.0+cpu") == "2.13.0+cpu"
    assert allowed.installed_version("0.1.0+jane.d20261101") == "0.1.0"
    assert allowed.installed_version("10.1.2.3+cpu") is None
    assert {*versions.STACK, *versions.MACHINE} <= allowed.packages()


def test_what_somebody_added_to_the_name_of_a_kernel_is_cut() -> None:
    assert allowed.release("6.1.0-13-jane-amd64") == "6.1.0-13"


def test_the_parameters_of_a_test_lose_what_is_not_ours() -> None:
    test = "compat/test_accelerate_empty_shard.py::test_an_empty_loader_yields_no_batch"
    assert allowed.test_id(f"{test}[stock-no rows]") == f"{test}[stock-no rows]"
    assert allowed.test_id(f"{test}[stock-jane]") == f"{test}[stock-\N{HORIZONTAL ELLIPSIS}]"
    assert allowed.test_id("compat/test_jane.py::test_x") is None


def test_of_a_traceback_the_frames_in_packages_are_kept_and_no_code() -> None:
    text = """\
  File "/Users/jane/env/lib/python3.11/site-packages/accelerate/data_loader.py", line 491, in __iter__
    secret = "jane"
  File "/Users/jane/work/train.py", line 7, in jane
    run("jane")
TypeError: Can only find the batch size of tensors but got jane."""
    assert allowed.evidence(text) == (
        '  File "site-packages/accelerate/data_loader.py", line 491, in __iter__\n'
        "  \N{HORIZONTAL ELLIPSIS}\n"
        "TypeError: Can only find the batch size of tensors but got \N{HORIZONTAL ELLIPSIS}"
    )


def test_control_characters_are_no_text_of_ours() -> None:
    assert allowed.prose("no \x1b[2J \x9b2J \u202e batch\x0bof\ttensors") == (
        "no \N{HORIZONTAL ELLIPSIS} batch\nof tensors"
    )


def test_what_makes_a_figure_doubtful_is_kept_whole() -> None:
    """A sentence with a new word needs `python tools/submit_words.py`."""
    bad = {
        "load": 99.0, "cores": 2, "battery": 0.5, "speed_limit": 0.5, "swapped": 1, "stolen": 0.0,
        "niceness": 10, "background": True, "pressure": "critical", "busy": 0.0, "own": 0.0,
    }  # fmt: skip
    unknown = {one.name: None for one in dataclasses.fields(Conditions)}
    fixed: Any = {**unknown, **bad, "environment": {}}
    seen = 0
    for mode in ("low", "powersave"):
        for heat in ("moderate", "heavy"):
            for busy in (None, 0.0):
                before = Conditions(**fixed | {"power_mode": "high", "busy": busy})
                changed: Any = {"power_mode": mode, "thermal_pressure": heat, "swapped": 2**33}
                after = dataclasses.replace(
                    before, **changed, stolen=15.0, busy=None if busy is None else 15.0
                )
                for flag in (
                    *conditions.flags(before, after, seconds=10),
                    *conditions.flags(after, after, seconds=10),
                    conditions.drifted(0.5),
                ):
                    assert allowed.prose(str(flag)) == flag
                    seen += 1
    assert seen > 50


def test_no_name_of_a_person_is_a_word_of_ours() -> None:
    assert not {"alice", "jane", "doe", "bob", "eve", "users"} & allowed.words()


@pytest.mark.parametrize(
    "unit", [" ", "a", "1", ".", "-", "/", "a ", "\n", '  File "', "[", "=", "1."]
)
def test_a_long_text_takes_no_time(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    begun = time.process_time()
    for kind in (
        allowed.prose,
        allowed.evidence,
        allowed.chip,
        allowed.release,
        allowed.version,
        allowed.requirement,
        allowed.frame,
        allowed.row,
        allowed.test_id,
        allowed.command,
        allowed.argument,
    ):
        kind(text)
    assert time.process_time() - begun < 20  # quadratic work would take minutes
