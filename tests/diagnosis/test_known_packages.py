"""Packages are known by their import names, and where questions about them belong."""

from __future__ import annotations

from metalassay.diagnosis import known_packages


def test_packages_are_known_by_their_import_names_and_typing_errors_are_recognised() -> None:
    hub = known_packages.named("huggingface_hub")
    assert hub is not None
    assert hub.tracker.endswith("/huggingface_hub/issues")
    assert known_packages.named("somelib") is None
    assert known_packages.similar("transformerz", known_packages.names()) == "transformers"
    assert known_packages.similar("qqqqqq", known_packages.names()) is None
