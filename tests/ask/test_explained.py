"""Errors in answers are explained as `metalassay explain` would."""

from __future__ import annotations

from metalassay.ask import answers, explained

TORCH = {"torch": "2.13.0"}
NO_COMPILER = "InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx: (None, 'clang++')"
FLOAT64 = (
    "TypeError: Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
    " Please use float32 instead."
)


def test_a_known_error_says_what_to_do() -> None:
    assert explained.lines({"why": NO_COMPILER}, TORCH) == [
        "known: torch.compile finds no working C++ compiler, or no OpenMP for it",
        "do: xcode-select --install",
        "do: on Linux: the compiler of the distribution, as in: apt install g++",
    ]


def test_errors_of_devices_and_dtypes_are_found_and_told_once() -> None:
    rows = [{"failed": {"mps": FLOAT64}}, {"failed": {"mps": FLOAT64}}, {"why": FLOAT64}]
    known, *do = explained.lines({"rows": rows}, TORCH)
    assert "float64" in known
    assert do
    assert all(each.startswith("do: ") for each in do)


def test_nothing_known_is_nothing_said() -> None:
    assert explained.lines({"why": "it broke"}, TORCH) == []
    assert explained.lines({"why": "", "rows": [{"why": ""}]}, TORCH) == []


def test_it_stands_below_the_answer_and_before_the_next_step() -> None:
    facts = {"device": "cpu", "torch": "2.13.0"}
    found = answers.lines("compile", {"why": NO_COMPILER}, facts)
    assert found[0].startswith("it does not compile here: ")
    assert found[-2] == "do: xcode-select --install"
    found = answers.lines("compile", {"error": NO_COMPILER, "next_step": "look"}, facts)
    assert [each.partition(":")[0] for each in found] == [
        "not answered",
        "known",
        "do",
        "do",
        "next",
    ]
