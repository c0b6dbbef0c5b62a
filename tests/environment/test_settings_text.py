"""The chosen variables in the syntax of a shell, and what is said about one of them."""

from __future__ import annotations

import pytest

from metalassay.environment import settings, settings_text
from metalassay.environment.settings import HIGH, Setting

RULES = {rule.variable: rule for rule in settings.load()}
TIMEOUT = Setting(RULES["UV_HTTP_TIMEOUT"], value="120")


@pytest.mark.parametrize(
    ("shell", "plain", "quoted"),
    [
        ("bash", "export X=1.2", """export X='a'"'"'b c'"""),
        ("zsh", "export X=1.2", """export X='a'"'"'b c'"""),
        ("fish", "set -gx X 1.2", r"set -gx X 'a\'b c'"),
    ],
)
def test_a_value_is_quoted_where_it_must_be(shell: str, plain: str, quoted: str) -> None:
    assert settings_text.assignment("X", "1.2", shell) == plain
    assert settings_text.assignment("X", "a'b c", shell) == quoted


def test_every_value_of_ours_is_the_same_in_every_dotenv_reader() -> None:
    """Docker's takes quotes as part of the value, so ours must need none."""
    for rule in settings.load():
        line = settings_text.assignment(rule.variable, rule.value or "0.98", "dotenv")
        assert line == f"{rule.variable}={rule.value or '0.98'}"


@pytest.mark.parametrize(
    ("path", "syntax"),
    [
        ("/bin/bash", "bash"),
        ("/bin/dash", "bash"),
        ("/usr/bin/zsh", "zsh"),
        ("fish", "fish"),
        ("", "bash"),
        ("/bin/csh", None),
        ("/opt/homebrew/bin/nu", None),
    ],
)
def test_a_shell_is_known_by_its_name(path: str, syntax: str | None) -> None:
    assert settings_text.shell_of(path) == syntax


def test_a_script_has_what_is_set_what_is_yours_and_what_is_neither() -> None:
    chosen = (
        TIMEOUT,
        Setting(RULES["HF_HUB_ETAG_TIMEOUT"], yours="9"),
        Setting(RULES[HIGH], why_not="it is for macOS"),
    )
    text = settings_text.script(chosen, "bash", "the head")
    assert text.startswith("# the head\n\n# uv waits")
    assert "(documented by its makers)\nexport UV_HTTP_TIMEOUT=120\n" in text
    assert "# Yours, and it stays: HF_HUB_ETAG_TIMEOUT=9\n" in text
    assert f"# Not set here:\n#   {HIGH}: it is for macOS\n" in text
    assert text.count("export") == 1
    assert "Not set here" not in settings_text.script((TIMEOUT,), "bash", "")


def test_an_explanation_has_the_reason_the_evidence_and_the_claim() -> None:
    text = settings_text.explanation(
        "HF_HUB_DOWNLOAD_TIMEOUT", (Setting(RULES["HF_HUB_DOWNLOAD_TIMEOUT"], value="60"),), 80
    )
    assert text is not None
    flat = " ".join(text.split())
    for part in (
        "here set to 60",
        "why A download",
        "executed by us: compat/",
        "confirmed; it is read",
    ):
        assert part in flat
    assert settings_text.explanation("ZZZ", (TIMEOUT,), 80) is None


def test_a_name_with_a_mistake_has_near_ones() -> None:
    assert settings_text.similar("UV_HTP_TIMEOUT")[0] == "UV_HTTP_TIMEOUT"
    assert settings_text.similar("ZZZ") == []
