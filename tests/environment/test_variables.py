"""Environment variables: each rule, where it applies and where it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import variables, versions

EXAMPLES = tomllib.loads(
    (Path(__file__).parents[1] / "data" / "environment_examples.toml").read_text("utf-8")
)
CASES = [
    pytest.param(rule, example, word == "applies", id=f"{rule}-{word}-{number}")
    for rule, sides in EXAMPLES.items()
    for word, examples in sides.items()
    for number, example in enumerate(examples)
]


def applies(rule: str, example: dict[str, Any]) -> bool:
    """Return whether a rule applies in an example."""
    found = variables.check(
        example["set"],
        example.get("with", {}),
        example.get("on", "Darwin"),
        usable=example.get("usable", False),
    )
    return rule in {match.rule.id for match in found}


@pytest.mark.parametrize(("rule", "example", "expected"), CASES)
def test_a_rule_applies_where_it_should_and_nowhere_else(
    rule: str, example: dict[str, Any], expected: bool
) -> None:
    assert applies(rule, example) is expected


def test_every_rule_has_an_example_of_both() -> None:
    assert list(EXAMPLES) == [rule.id for rule in variables.load()]
    assert all(sides["applies"] and sides["not"] for sides in EXAMPLES.values())


@pytest.mark.parametrize("rule", variables.load(), ids=lambda rule: rule.id)
def test_a_rule_has_a_verdict_a_fix_and_a_link(rule: variables.Rule) -> None:
    assert rule.verdict in variables.VERDICTS
    assert rule.severity in variables.SEVERITIES
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.id)
    assert rule.says.endswith(".")
    assert rule.expected
    assert rule.fix.startswith(("unset ", "export "))
    assert rule.link.startswith("https://")
    assert not (rule.absent and rule.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0.7", 0.7), (" .5x", 0.5), ("1e1", 10), ("2.", 2), ("", None), ("x1", None), ("-", None)],
)
def test_a_number_is_read_as_c_reads_it(text: str, number: float | None) -> None:
    assert variables.number(text) == number


def test_on_linux_no_rule_applies_to_variables_that_mps_has() -> None:
    real = {
        "PYTORCH_ENABLE_MPS_FALLBACK": "true",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO": "0.7",
        "PYTORCH_MPS_LOW_WATERMARK_RATIO": "9",
    }
    assert variables.check(real, {"torch": "2.5.1"}, "Linux", usable=True) == ()


def test_a_value_is_shown_short_and_printable() -> None:
    (match,) = variables.check({"PYTORCH_MPS_DISABLE": "\x1b[31m" + "1" * 99 + "\n"}, {}, "Linux")
    assert match.observed == f"PYTORCH_MPS_DISABLE={'1' * 60}…"


def test_an_unreadable_version_never_matches() -> None:
    odd = {"PYTORCH_ENABLE_MPS_FALLBACK": "true"}
    assert variables.check(odd, {"torch": "None"}, "Darwin") == ()


@pytest.mark.skipif("huggingface-hub" not in versions.installed(), reason="not installed")
@pytest.mark.parametrize("name", ["HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"])
def test_a_timeout_that_is_not_an_integer_really_breaks_the_hub(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import huggingface_hub.constants"],
        env={**os.environ, name: ""},
        capture_output=True,
        text=True,
    )
    assert "ValueError" in done.stderr
