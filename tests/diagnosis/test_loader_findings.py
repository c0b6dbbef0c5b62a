"""What doctor says of patches of others to the loop of accelerate's loaders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from diagnosed import GUIDE

from metalassay.diagnosis import findings, loader_findings
from metalassay.environment.loader_patches import Replacement


def test_a_script_that_empties_every_loader_is_a_warning_that_names_it() -> None:
    losing = Replacement("fix.py", 38, "DataLoaderShard.__iter__", "patched_iter", loses=True)
    (found,) = loader_findings.of_loader_patches([losing], None, GUIDE)
    assert (found.id, found.severity) == (findings.REPLACED, "warning")
    assert found.title.startswith("A script here replaces DataLoaderShard.__iter__ by patched_iter")
    assert found.observed == "fix.py:38 DataLoaderShard.__iter__ = patched_iter"
    (kind,) = loader_findings.of_loader_patches([replace(losing, loses=False)], None, GUIDE)
    assert kind.severity == "info"
    assert loader_findings.of_loader_patches([losing], Path("x"), {"torch": "2.13.0"}) == []


def test_an_edited_accelerate_is_installed_again_in_the_same_version() -> None:
    (found,) = loader_findings.of_loader_patches([], Path("data_loader.py"), GUIDE)
    assert (found.id, found.severity, found.observed) == (
        findings.EDITED,
        "warning",
        "data_loader.py",
    )
    assert found.fix == "pip install --force-reinstall --no-deps accelerate==1.8.0"
