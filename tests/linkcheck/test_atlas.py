"""The atlas: breaks that were executed are in it, and its releases are those of the API history."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from metalassay import bugs
from metalassay.bugs import api_history
from metalassay.linkcheck import atlas, known_breaks
from metalassay.linkcheck.breaks import CERTAIN, KINDS


def stopping(**installed: str) -> set[tuple[str, str, str]]:
    """Return kind, name and entry of what stops; underscores stand for hyphens."""
    return {(each.kind, each.what, each.entry) for each in known_breaks(installed) if each.stops}


# The rows of the research sheet, which were executed before the atlas was made.
@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"transformers": "4.37.2", "accelerate": "1.1.1"},
         ("argument", "accelerate.Accelerator.__init__(dispatch_batches)", "Trainer")),
        ({"peft": "0.17.1", "accelerate": "0.31.0"},
         ("import", "accelerate.utils.memory.clear_device_cache", "import")),
        ({"transformers": "4.52.4", "accelerate": "1.1.1"},
         ("argument", "accelerate.Accelerator.unwrap_model(keep_torch_compile)", "Trainer")),
        ({"trl": "0.16.1", "transformers": "4.52.4"},
         ("override", "trl.trainer.grpo_trainer.GRPOTrainer._get_train_sampler(1 positional argument)",
          "GRPOTrainer")),
        ({"trl": "0.24.0", "transformers": "5.3.0"},
         ("return", "transformers.utils.import_utils._is_package_available(mergekit)", "GRPOTrainer")),
        ({"transformers": "5.0.0", "accelerate": "1.0.1"}, ("floor", "accelerate>=1.1.0", "Trainer")),
    ],
)  # fmt: skip
def test_executed_breaks_are_in_the_atlas(
    installed: dict[str, str], expected: tuple[str, str, str]
) -> None:
    kind, what, entry = expected
    found = [each for each in stopping(**installed) if each[:2] == (kind, what)]
    assert [entry in each[2].split(", ") for each in found] == [True]


@pytest.mark.parametrize(
    "installed",
    [
        {"transformers": "4.37.2", "accelerate": "0.34.2"},
        {"peft": "0.17.1", "accelerate": "0.34.2"},
        {"transformers": "4.52.4", "accelerate": "1.8.0"},
        {"trl": "0.16.1", "transformers": "4.51.3", "accelerate": "1.8.0"},
        {"trl": "0.24.0", "transformers": "5.2.0"},
        {"trl": "1.16.0", "transformers": "5.24.0", "accelerate": "1.15.0", "peft": "0.21.2", "datasets": "5.2.0"},
    ],
)  # fmt: skip
def test_sets_that_train_have_nothing_that_stops(installed: dict[str, str]) -> None:
    assert stopping(**installed) == set()


def test_what_the_atlas_cannot_see_is_known() -> None:
    # 'AdamW' object has no attribute 'train': the attribute is missing on an object of torch
    assert stopping(transformers="4.45.2", accelerate="0.33.0") == set()
    # Accelerator(**config.to_dict()): the arguments travel in a dict
    assert stopping(transformers="4.39.3", accelerate="1.0.1") == set()


# The bugs of two packages that do not fit, in the releases that have the code concerned.
@pytest.mark.parametrize(
    ("bug", "what", "releases"),
    [
        ("trainer-needs-accelerate-1-3", "keep_torch_compile", {"accelerate": ">=0.26"}),
        ("trainer-dispatch-batches-accelerate-1", "dispatch_batches", {"transformers": "!=4.38.*,!=4.39.*"}),
        ("transformers5-needs-get-module-size", "get_module_size_with_ties", {}),
        ("peft-hybridcache-transformers5", "transformers.HybridCache", {"transformers": ">=4.44"}),
        ("peft-clear-device-cache-accelerate", "clear_device_cache", {}),
        ("grpotrainer-train-sampler-transformers-4-52", "GRPOTrainer._get_train_sampler", {}),
        ("ktotrainer-train-sampler-transformers-4-52", "KTOTrainer._get_train_sampler", {"trl": ">=0.8"}),
        ("dpotrainer-vision-2-seq-transformers5", "MODEL_FOR_VISION_2_SEQ_MAPPING_NAMES", {"trl": ">=0.9.6"}),
        ("trl-optional-packages-transformers-5-3", "_is_package_available", {"trl": ">=0.13"}),
    ],
)  # fmt: skip
def test_a_known_bug_of_two_packages_has_the_bounds_that_were_executed(
    bug: str, what: str, releases: dict[str, str]
) -> None:
    [where] = bugs.get(bug).where
    one, other = sorted(package for package in where if package in atlas.checked())
    wrong = []
    for first in _sampled(one, str(where[one]), releases.get(one, "")):
        for second in _sampled(other, str(where[other]), releases.get(other, "")):
            expected = where[one].contains(first) and where[other].contains(second)
            found = any(what in each.what for each in known_breaks({one: first, other: second}))
            if found != expected:
                wrong.append((first, second, found))
    assert wrong == []


def _sampled(package: str, where: str, wanted: str) -> list[str]:
    """Return the releases on both sides of each bound, and some between."""
    known = [each for each in atlas.checked()[package] if SpecifierSet(wanted).contains(each)]
    inside = [SpecifierSet(where).contains(each) for each in known]
    edges = {
        at + step for at in range(len(known) - 1) if inside[at] != inside[at + 1] for step in (0, 1)
    }
    return [each for at, each in enumerate(known) if at in edges or at % 9 == 0]


def test_the_releases_are_those_of_the_api_history() -> None:
    assert {
        name: api_history.history(name).releases for name in api_history.PACKAGES
    } == atlas.checked()


def test_every_row_is_well_formed() -> None:
    assert atlas._rows()
    for (caller, provider), rows in atlas._rows().items():
        callers, providers = len(atlas.checked()[caller]), len(atlas.checked()[provider])
        for _, _, kind, what, file, _, strength, bad, has, runs in rows:
            assert kind in KINDS
            assert file.startswith(f"{caller}/")
            assert what.startswith((f"{provider}.", f"{caller}."))
            assert 0 <= strength <= 3
            assert bad
            assert has
            assert all(0 <= first <= last < providers for first, last in [*bad, *has])
            assert all(run[0] >= 0 and run[0] + len(run) - 1 <= callers for run in runs)


def test_since_is_a_release_of_what_changed() -> None:
    for installed in (
        {"trl": "0.16.1", "transformers": "4.52.4"},
        {"peft": "0.17.1", "accelerate": "0.31.0"},
    ):
        for each in known_breaks(installed):
            assert each.since in atlas.checked()[each.changed]
            assert each.changed in (each.caller, each.provider)


def test_a_version_between_two_releases_is_judged_by_both() -> None:
    assert stopping(trl="0.16.1", transformers="4.52.3.post1")
    assert stopping(trl="0.16.1", transformers="4.52.0.dev0") == set()  # 4.51.3 or 4.52.0?


@pytest.mark.parametrize("version", ["unreadable", "0.0.1", ""])
def test_a_version_that_says_nothing_finds_nothing(version: str) -> None:
    assert known_breaks({"transformers": version, "accelerate": "1.1.1"}) == ()


def test_names_may_have_underscores_and_other_packages_are_ignored() -> None:
    installed = {
        "transformers": "4.52.4",
        "huggingface_hub": "1.0.0",
        "flask": "1.0",
        "macos": "15.1",
    }
    assert [each.kind for each in known_breaks(installed)] == ["floor"]


def test_what_is_certain_stops() -> None:
    for each in known_breaks({"transformers": "5.0.0", "accelerate": "1.0.1", "torch": "2.0.0"}):
        assert each.stops or each.confidence != CERTAIN
