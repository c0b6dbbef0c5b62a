"""Which patches are needed is told from versions alone, and agrees with the patches themselves."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from metalassay import patches
from metalassay.bugs import patches_needed
from metalassay.environment import versions


def told(**installed: str) -> dict[str, bool | None]:
    return {need.patch: need.needed for need in patches_needed.needed(installed)}


@pytest.mark.parametrize(
    ("accelerate", "needed"),
    [
        ("1.8.0", {"accelerate_empty_shard", "accelerate_n_shard_typo"}),
        ("1.8.1", {"accelerate_empty_shard"}),
        ("1.9.0", set()),
    ],
)
def test_the_versions_decide(accelerate: str, needed: set[str]) -> None:
    found = told(accelerate=accelerate)
    assert found.keys() == set(patches.names())
    by_version = {"accelerate_empty_shard", "accelerate_n_shard_typo"}
    assert {name for name in by_version if found[name]} == needed
    assert None not in found.values()


def test_without_the_library_nothing_can_be_said() -> None:
    assert set(told(torch="2.13.0").values()) == {None}
    assert {need.why for need in patches_needed.needed({})} == {"accelerate is not installed"}


def test_the_reason_names_the_version_and_the_affected_ones() -> None:
    (need,) = [
        each
        for each in patches_needed.needed({"accelerate": "1.9.0"})
        if each.patch == "accelerate_n_shard_typo"
    ]
    assert need.bug == "accelerate-n-shard-typo"
    assert need.why == "accelerate 1.9.0 is healthy; affected is accelerate ==1.8.0"


def test_a_bug_is_named_as_its_patch() -> None:
    """The processes of a run report the bug of a patch by this rule, without the bugs' data."""
    for need in patches_needed.needed({}):
        assert need.bug == need.patch.replace("_", "-")


@pytest.mark.slow
def test_the_patches_agree_about_the_accelerate_that_is_installed() -> None:
    installed = versions.installed()
    if not {"accelerate", "torch"} <= installed.keys():
        pytest.skip("accelerate or torch is not installed")
    for need in patches_needed.needed(installed):
        with importlib.import_module(f"metalassay.patches.{need.patch}").patch() as needs:
            assert needs == need.needed, need


def test_it_imports_no_library() -> None:
    code = (
        "import sys; from metalassay.bugs import patches_needed as p; p.needed({'accelerate': '1.8.0'});"
        "print(sorted({'torch', 'accelerate', 'metalassay.patches'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
