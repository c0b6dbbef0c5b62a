"""What to install instead: the nearest release with which nothing known stops."""

from __future__ import annotations

from metalassay.linkcheck import instead, known_breaks


def advice(installed: dict[str, str]) -> list[str]:
    first = next(each for each in known_breaks(installed) if each.stops)
    return [each.requirement for each in instead.changes(first, installed)]


def test_the_provider_or_the_caller_may_change() -> None:
    installed = {"transformers": "4.52.4", "accelerate": "1.1.1"}
    assert advice(installed) == ["accelerate==1.3.0", "transformers==4.51.3"]


def test_what_is_advised_is_free_of_known_stops() -> None:
    installed = {"trl": "0.16.1", "transformers": "4.52.4", "accelerate": "1.8.0"}
    for requirement in advice(installed):
        package, version = requirement.split("==")
        assert not [each for each in known_breaks({**installed, package: version}) if each.stops]


def test_nothing_is_advised_where_one_package_does_not_help() -> None:
    installed = {
        "transformers": "4.52.4",
        "accelerate": "1.1.1",
        "huggingface-hub": "1.33.0",
        "peft": "0.15.2",
    }
    assert "accelerate==1.3.0" not in advice(installed)
