"""Versions, system, device and dtype that a text states are read; demands are not."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import text_facts


def versions(text: str) -> dict[str, str]:
    return dict(text_facts.read(text, "").versions)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (
            "- `transformers` version: 4.41.2\n- Platform: macOS-14.5-arm64-arm-64bit\n",
            {"transformers": "4.41.2", "macos": "14.5"},
        ),
        (
            "- `Accelerate` version: 0.31.0\n- PyTorch version (GPU?): 2.3.0 (False)\n",
            {"accelerate": "0.31.0", "torch": "2.3.0"},
        ),
        (
            "PyTorch version: 2.1.1\nOS: macOS 12.7.6 (x86_64)\nPython version: 3.11.4 (main)\n",
            {"torch": "2.1.1", "macos": "12.7.6", "python": "3.11.4"},
        ),
        (
            "[pip3] numpy==1.26.4\n[pip3] torch==2.5.1+cu118\n[conda] torch     2.5.1   pypi_0\n",
            {"numpy": "1.26.4", "torch": "2.5.1"},
        ),
        ("torch          2.5.1\ntrl            0.16.0\n", {"torch": "2.5.1", "trl": "0.16.0"}),
        (
            "Successfully installed accelerate-1.8.0 huggingface-hub-0.33.1 weird-2024\n",
            {"accelerate": "1.8.0", "huggingface-hub": "0.33.1"},
        ),
        (
            '  File "/opt/python3.12/site-packages/torch-2.5.1.dist-info/x.py", line 1\n',
            {"python": "3.12", "torch": "2.5.1"},
        ),
        (
            "``torch -- 2.2.2``\n``system -- mac os 15.2 (24C101)``\ntransformers-4.49.0\npython-3.10\n",
            {"torch": "2.2.2", "macos": "15.2", "transformers": "4.49.0", "python": "3.10"},
        ),
        ("ProductVersion:\t\t15.1\n", {"macos": "15.1"}),
        ("torch: 2.10.0.dev20251101\n", {"torch": "2.10.0.dev20251101"}),
        ("Tested on macOS Sonoma 14.5 with an M3\n", {"macos": "14.5"}),
    ],
)
def test_what_reports_and_lists_state_is_read(text: str, stated: dict[str, str]) -> None:
    assert versions(text) == stated


@pytest.mark.parametrize(
    "text",
    [
        "In PyTorch 2.6, we changed the default value of `weights_only`",
        "The MPS backend is supported on MacOS 12.3+.",
        "this operation is only supported from macOS 13.2 onward",
        "bfloat16 needs macOS 14.0",
        "ValueError: bf16 mixed precision requires PyTorch >= 1.10",
        "torchvision 0.15.1 requires torch==2.0.0, but you have",
        "pip install torch==2.5.1",
        "transformers[torch]==4.52.4 depends on torch",
        "torch.Size([2, 3])",
        "step 1: 2.5",
        "MPS does not support sort op with int64 input. Support has been added in macOS 13.3",
        "MPS autocast: macOS 14 or newer",
    ],
)
def test_prose_and_demands_are_no_statement(text: str) -> None:
    assert versions(text) == {}


@pytest.mark.parametrize(
    ("message", "device", "dtype"),
    [
        ("ValueError: fp16 mixed precision requires a GPU (not 'cpu').", "cpu", "fp16"),
        ("TypeError: Cannot convert a MPS Tensor to float64 dtype", "mps", "float64"),
        ("RuntimeError: \"addmm\" not implemented for 'Half'", None, "Half"),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory", "cuda", None),
        ('Expected all tensors on one device, found cuda:0 and "mps:0"', "mps", None),
        ("KeyError: 'labels'", None, None),
        ("ValueError: compared an Integer", None, None),
    ],
)
def test_device_and_dtype_are_those_of_the_message(
    message: str, device: str | None, dtype: str | None
) -> None:
    facts = text_facts.read("on MPS before\n" + message, message)
    assert (facts.device, facts.dtype) == (device, dtype)


def test_the_commit_of_the_message_is_read() -> None:
    text = "missing op as well as commit hash 134179474539648ba7dee1317959529fbd0e7f89."
    assert text_facts.read(text, "").commit == "134179474539648ba7dee1317959529fbd0e7f89"


def facts(**stated: str) -> text_facts.Facts:
    return text_facts.Facts(stated, None, None, None)


def test_a_text_from_another_environment_says_nothing_about_what_is_installed_here() -> None:
    used, notes = text_facts.merge(facts(torch="2.1.1"), {"torch": "2.13.0", "trl": "1.0"}, False)
    assert used == {"torch": "2.1.1"}
    assert "torch 2.1.1, not from this one (torch 2.13.0)" in notes[0]


def test_what_the_text_adds_is_used_and_told() -> None:
    used, notes = text_facts.merge(facts(torch="2.1.1", python="3.11"), {"trl": "1.0"}, False)
    assert used == {"torch": "2.1.1", "python": "3.11", "trl": "1.0"}
    assert notes == ("read in the text: python 3.11, torch 2.1.1",)


@pytest.mark.parametrize("given", [False, True])
def test_less_precise_versions_agree_and_python_alone_is_not_told(given: bool) -> None:
    assert text_facts.merge(facts(python="3.11"), {"python": "3.11.7"}, given) == (
        {"python": "3.11.7"},
        (),
    )
    assert text_facts.merge(facts(python="3.11"), {"trl": "1.0"}, given)[1] == ()


def test_what_the_user_names_wins_and_the_contradiction_is_told() -> None:
    used, notes = text_facts.merge(facts(torch="2.1.1"), {"torch": "2.13.0"}, True)
    assert used == {"torch": "2.13.0"}
    assert notes == ("the text says torch 2.1.1; 2.13.0 was given and is used",)


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        ("The operator 'aten::isin' is not currently implemented for the MPS device.", True),
        ('  File "/Users/u/train.py", line 1, in f', True),
        ("RuntimeError: Input type (MPSByteType) and weight type", True),
        ("- Platform: macOS-14.5-arm64", True),
        ("KeyError: 'labels'", False),
        ('  File "/home/u/train.py", line 1, in f', False),
    ],
)
def test_a_text_from_a_mac_says_nothing_about_another_computer(text: str, mac: bool) -> None:
    read = text_facts.read(text, "")
    assert read.mac is mac
    used, notes = text_facts.merge(read, {"torch": "2.13.0"}, False)
    assert ("torch" in used) is not mac
    assert any("comes from a Mac, which this computer is not" in note for note in notes) is mac
    here = {"torch": "2.13.0", "macos": "14.5"}
    assert text_facts.merge(read, here, False)[0] == here
    assert text_facts.merge(read, {"torch": "2.13.0"}, True)[0]["torch"] == "2.13.0"
