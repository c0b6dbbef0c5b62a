"""A missing extra is one line with the command that installs it."""

from __future__ import annotations

import pytest

from metalassay.environment import extras
from metalassay.errors import UserError


def test_what_is_installed_is_no_error() -> None:
    extras.require("selftest", "bench", "json", "pytest")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (("no_such_module",), "selftest needs no-such-module, which is not installed"),
        (("json", "nothing"), "selftest needs nothing, which is not installed"),
        (("nothing", "nowhere"), "selftest needs nothing and nowhere, which are not installed"),
    ],
)
def test_what_is_missing_is_named_with_the_extra(modules: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as error:
        extras.require("selftest", "bench", *modules)
    assert error.value.message == message
    assert error.value.next_step == "pip install 'metalassay[bench]'"
