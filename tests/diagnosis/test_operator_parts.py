"""Which torch a text comes from, and which release to install."""

from __future__ import annotations

from operator_texts import missing, only
from packaging.version import Version

from metalassay.mps.operators import oracle, releases


def test_a_macos_that_is_too_old_for_the_release_puts_the_upgrade_behind() -> None:
    found = only(missing("aten::_ctc_loss"), {"torch": "2.4.1", "macos": "12.7"})
    assert "F.ctc_loss(" in found.do[0]
    assert found.do[1].endswith("(needs macOS 14.0 and Python 3.10; this is macOS 12.7)")


def test_the_commit_in_the_text_counts_more_than_the_installed_version() -> None:
    text = missing("aten::_amp_foreach_non_finite_check_and_unscale_", "2.7.0")
    found = only(text, {"torch": "2.8.0"})
    assert found.applies == "yes"
    assert found.note == (
        "its commit 1341794745 is that of torch 2.7.0, so the text does not come from the torch 2.8.0"
        " of this environment; torch 2.7.0 lacks it, torch 2.8.0 has it"
    )
    assert only(text, {"torch": "2.7.0"}).note.startswith(
        "its commit 1341794745 is that of torch 2.7.0; "
    )
    found = only(text, {})
    assert found.applies == "yes"
    assert "GradScaler" in found.cause
    assert any("bfloat16" in each for each in found.do)


def test_the_commit_of_a_nightly_is_no_release() -> None:
    text = missing("aten::mode", "2.7.0").replace(releases.commits()["2.7.0"], "3b875c25ea" * 4)
    found = only(text, {"torch": "2.9.0"})
    assert found.note.startswith(
        "its commit 3b875c25ea is not a release's: a nightly or a build of"
    )
    assert found.applies == "yes"


def test_a_wording_of_other_releases_is_seen() -> None:
    found = only(missing("aten::linalg_qr.out", "2.5.1"), {"torch": "2.9.0"})
    assert found.applies == "otherwise"
    assert found.note.startswith("its wording is that of torch >=1.12,<2.6, not of 2.9.0")
    found = only(missing("aten::linalg_qr.out", "2.5.1"), {"torch": "2.13.0"})
    assert found.applies == "no"


def test_versions_that_only_a_build_has_are_understood() -> None:
    for torch in ("2.13.0+cpu", "2.13.0.dev20260101", "2.13.1"):
        assert only(missing("aten::mode"), {"torch": torch}).applies == "otherwise"
    assert Version(oracle.versions()[-1]) >= Version("2.15")
