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
        (allowed.chip, "Intel(R) Xeon(R) Gold 6230R CPU @ 2.10GHz", True),
        (allowed.chip, "AMD Ryzen 9 7950X 16-Core Processor", True),
        (allowed.chip, "AMD Radeon Pro 5500M, Intel UHD Graphics 630", True),
        (allowed.chip, "NVIDIA A100-SXM4-80GB", True),
        (allowed.chip, "NVIDIA H100 80GB HBM3", True),
        (allowed.chip, "Apple C02 XG0 ZZ12345JG5", False),
        (allowed.chip, "NVIDIA C02 XG0 12345", False),
        (allowed.chip, "Intel(R) Xeon(R) 4917 0123 4567", False),
        (allowed.chip, ", ".join(["NVIDIA H200"] * 4), False),
        (allowed.release, "5.14.0-503.11.1.el9_5", True),
        (allowed.release, "10.1.2.3-microsoft-standard", False),
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
        (allowed.version, "2.6.0.dev20241112+cu124", True),
        (allowed.version, "2026.10.19.post1", True),
        (allowed.version, "12345.123456.123456.post123.dev12345678", False),
        (allowed.version, "491.701.234", False),
        (allowed.version, "1234.5678.9012", False),
        (allowed.version, "1.0.dev12345678", False),
        (allowed.requirement, "nvidia-cublas==81.2.69.142", False),
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
        (allowed.frame, "torch/_jane/x.py:3 f", False),
        (allowed.frame, "3.11/code/jane.py:3 f", False),
        (allowed.frame, "<frozen jane.doe>:3 f", False),
        (allowed.frame, "code/jane/train.py:3 f", False),
        (allowed.frame, "/Users/jane/torch/x.py:3 f", False),
        (allowed.row, "edge-trl-0.11.4-transformers-4.45.2", True),
        (allowed.row, "jane-venv", False),
        (allowed.row, "fresh-trl-9.9.1", True),
        (allowed.row, "torch-1234-5678-9012-3456", False),
        (allowed.row, "torch-192.168.17", False),
        (allowed.bug_id, "trainer-needs-accelerate-1-3", True),
        (allowed.bug_id, "trainer-4111-1111-1111-1111", False),
        (allowed.label, "quick-mps", True),
        (allowed.label, "quick-4917", False),
        (allowed.setting, "0.7", True),
        (allowed.setting, "1073741824", True),
        (allowed.setting, "4917012345678", False),
        (allowed.benchmark_id, "test_infer[transit-cnn-cpu-64]", True),
        (allowed.benchmark_id, "test_infer[transit-cnn-4917-0123-4567]", False),
        (allowed.moment, "2026-11-29T03:04:05.123456+00:00", True),
        (allowed.moment, "2026-11-29T03:04:05", True),
        (allowed.moment, "2026-13-29T03:04:05", False),
        (allowed.file_name, "run", True),
        (allowed.file_name, "0001_803ae56_20261128_100000_uncommitted-changes", True),
        (allowed.file_name, "jane-run", False),
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


@pytest.mark.parametrize(
    "text",
    [
        "192.168.17.23", "192.168. 17.23", "192 168 17 23", "192, 168, 17, 23", "10/1/2/3", "10_1_2_3",
        "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "41111111", "4111-1111/11111111",
        "+491701 234567", "+491701234567", "+49 170 1234567", "(0170) 1234567", "0170.1234567", "491701.234567",
        "491,701,234,567", "00:1:22:33:44:55", "a4-83-e7-01", "a l i c e", "(a) l i c e", "1 9 2 1 6 8 1 7",
    ],
)  # fmt: skip
def test_no_address_and_no_long_number_is_kept_in_a_sentence(text: str) -> None:
    for form in (
        "error {}",
        "error:{}",
        "torch:{}:8080",
        "error={}",
        "batch {} of",
        "({})",
        "torch-{}",
    ):
        kept = allowed.prose(form.format(text))
        digits = sum(map(str.isdecimal, kept.replace("8080", "")))
        assert digits <= 1, kept  # of "(0170) 1234567" nothing, of others at most a single digit
        assert "l i c e" not in kept


@pytest.mark.parametrize(
    "text",
    [
        "batch 64 of 1,234 took 10.5 ms, 3 times", "shape [0, 1, 2, 3, 4] and [2, 128]", "torch 2.13.0 and 5.0",
        "+0.01% of 65536", "a load of 4.5 on 2 processors", "trainer-needs-accelerate-1-3", "between 2 and 10",
    ],
)  # fmt: skip
def test_counts_sizes_and_versions_are_kept_in_a_sentence(text: str) -> None:
    assert allowed.prose(text) == text


@pytest.mark.parametrize(
    "before", ["/Users/jane.doe/acme/.venv/lib/python3.12/", "/srv/jane/", "C:\\jane\\"]
)
@pytest.mark.parametrize(
    "place",
    [
        "site-packages/transformers/__init__.py",
        "src/metalassay/results/load.py",
        "compat/test_trl.py",
    ],
)
def test_of_a_path_in_a_sentence_the_folders_before_the_package_are_cut(
    before: str, place: str
) -> None:
    if before.endswith("\\") and place.startswith("compat"):
        assert "jane" not in allowed.prose(f"from ({before}{place})")
    else:
        assert allowed.prose(f"from ({before}{place})") == f"from ({place})"


@pytest.mark.parametrize(
    "place",
    [
        "python3.11/code/acme_jane.py",
        "python3.11/acme/jane.py",
        "site-packages/torch/jane/acme.py",
        "site-packages/torch/nn/jane.py",
        "src/metalassay/jane.py",
        "site-packages/metalassay/jane.py",
    ],
)
def test_each_part_of_the_path_of_a_frame_is_that_of_a_public_module(place: str) -> None:
    line = f'  File "/Users/x/{place}", line 3, in forward'
    assert allowed.evidence(line) == "  \N{HORIZONTAL ELLIPSIS}"


def test_a_function_whose_name_is_not_public_is_cut_and_its_place_is_kept() -> None:
    for function in ("jane_secret", "<jane>", "train_jane", "f4917"):
        text = f'  File "/x/site-packages/torch/nn/functional.py", line 3, in {function}'
        kept = allowed.evidence(text)
        assert (
            kept
            == '  File "site-packages/torch/nn/functional.py", line 3, in \N{HORIZONTAL ELLIPSIS}'
        )
        assert allowed.evidence(kept) == kept
        frame = allowed.frame(f"torch/nn/functional.py:3 {function}")
        assert frame == "torch/nn/functional.py:3 \N{HORIZONTAL ELLIPSIS}"
        assert allowed.frame(frame) == frame


def test_the_offset_of_a_local_time_is_cut() -> None:
    assert allowed.moment("2026-11-29T03:04:05+05:45") == "2026-11-28T21:19:05+00:00"


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


@pytest.mark.parametrize("inner", ["torch:192.168.1.4", "4111-1111-1111-1111", "train-jane"])
def test_the_parameters_of_a_test_have_no_address_and_no_long_number(inner: str) -> None:
    kept = allowed.test_id(f"compat/test_train.py::test_train[{inner}]") or ""
    assert not set("19") & set(kept)
    assert "jane" not in kept


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
