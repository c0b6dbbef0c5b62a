"""What an error asks about releases, as its text has it."""

from __future__ import annotations

import pytest

from metalassay.diagnosis.api_question import Question, questions


def only(text: str) -> Question:
    (found,) = questions(text)
    return found


@pytest.mark.parametrize(
    ("text", "kind", "owner", "names"),
    [
        ("A.__init__() got an unexpected keyword argument 'x'", "unexpected", "A.__init__", ("x",)),
        ("A.__init__() got an unexpected keyword argument &#39;x&#39;", "unexpected", "A.__init__", ("x",)),
        ("f.<locals>.B.g() got an unexpected keyword argument 'x'", "unexpected", "B.g", ("x",)),
        ("A.g() missing 2 required positional arguments: 'x' and 'y'", "missing", "A.g", ("x", "y")),
        ("A.g() missing 3 required keyword-only arguments: 'x', 'y', and 'z'", "missing", "A.g", ("x", "y", "z")),
        ("cannot import name 'X' from 'trl.core' (/a.py)", "import", "trl.core", ("X",)),
        ("cannot import name `X` from `trl`", "import", "trl", ("X",)),
        ("module 'peft' has no attribute 'X'", "attribute", "peft", ("X",)),
        ("module transformers.models.llama has no attribute X", "attribute", "transformers.models.llama", ("X",)),
        ("'Accelerator' object has no attribute 'x'", "object", "Accelerator", ("x",)),
        ("No module named 'trl.core'", "module", "trl.core", ()),
    ],
)  # fmt: skip
def test_each_wording_is_recognised(
    text: str, kind: str, owner: str, names: tuple[str, ...]
) -> None:
    found = only(f"SomeError: {text}")
    assert (found.kind, found.owner, found.names) == (kind, owner, names)
    assert found.caller == "?"


def test_counts_of_positional_arguments_are_read() -> None:
    found = only("TypeError: A.g() takes from 1 to 12 positional arguments but 14 were given")
    assert (found.most, found.given) == (12, 14)


@pytest.mark.parametrize(
    "text",
    [
        "No module named 'requests'",
        "No module named 'trl'",  # not installed: no question of releases
        "cannot import name 'X' from 'mytrl'",
        "module 'torch' has no attribute 'mps'",
        "    raise TypeError(\"A.g() got an unexpected keyword argument 'x'",
    ],
)
def test_other_errors_are_none_of_these(text: str) -> None:
    assert questions(text) == ()
