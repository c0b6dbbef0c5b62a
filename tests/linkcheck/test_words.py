"""Every kind of break has a sentence that names both sides."""

from __future__ import annotations

import pytest

from metalassay.linkcheck import words
from metalassay.linkcheck.breaks import KINDS, Break

WHAT = {
    "import": ("accelerate.x", "accelerate 1.1.1 has no accelerate.x"),
    "argument": ("accelerate.A.f(k)", "accelerate.A.f() of accelerate 1.1.1 does not accept k"),
    "positional": ("accelerate.f(k is required)", "accelerate.f() of accelerate 1.1.1 requires k"),
    "attribute": ("accelerate.A.x", "accelerate.A.x is not there in accelerate 1.1.1"),
    "override": ("trl.T.f(1 positional argument)", "trl.T.f() does not accept what accelerate 1.1.1 passes: 1 positional argument"),
    "return": ("accelerate.f(vllm)", "accelerate.f() of accelerate 1.1.1 returns a tuple, so vllm counts as installed"),
    "floor": ("accelerate>=1.2", "transformers 5.0.0 refuses accelerate 1.1.1: it needs accelerate>=1.2"),
    "metadata": ("accelerate>=1.2", "transformers 5.0.0 requires accelerate>=1.2, and 1.1.1 is installed"),
}  # fmt: skip


def a_break(kind: str, what: str, **values: object) -> Break:
    return Break("transformers", "5.0.0", "accelerate", "1.1.1", kind, what, "a.py:1", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_for_every_kind(kind: str) -> None:
    what, expected = WHAT[kind]
    assert words.sentence(a_break(kind, what)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"stops": True, "entry": "import", "confidence": "certain"}, "stops importing it"),
        ({"stops": True, "entry": "Trainer", "confidence": "likely"}, "stops Trainer (likely)"),
        ({"guarded": True}, "guarded: the package tests for it"),
        ({"entry": "KTOTrainer"}, "reached by KTOTrainer"),
        ({}, "not reached by ordinary training"),
    ],
)
def test_what_it_does(values: dict[str, object], expected: str) -> None:
    assert words.consequence(a_break("import", "accelerate.x", **values)) == expected


def test_when_and_what_works() -> None:
    each = a_break(
        "import",
        "x",
        since="5.0.0",
        changed="transformers",
        works=(("1.2.0", "1.15.0"), ("2.0", "2.0")),
    )
    assert (
        words.history(each)
        == "since transformers 5.0.0; works with accelerate 1.2.0 to 1.15.0, 2.0"
    )
    assert words.history(a_break("import", "x")) == ""
