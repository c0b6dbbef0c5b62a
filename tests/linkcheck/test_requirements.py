"""What releases require, from the data alone; and whether a set of versions is allowed."""

from __future__ import annotations

import pytest

from metalassay.linkcheck import requirements
from metalassay.linkcheck.floors import Floor


def test_the_requirements_of_a_release() -> None:
    found = requirements.of("transformers", "4.52.4")
    assert {"huggingface-hub<1.0,>=0.30.0", "tokenizers<0.22,>=0.21", "python>=3.9.0"} <= set(found)
    assert not [each for each in found if "extra" in each]


def test_the_extra_torch_has_floors_of_its_own() -> None:
    assert 'accelerate>=1.1.0; extra == "torch"' in requirements.of_extras("transformers", "5.0.0")


def test_a_package_or_version_that_is_not_known_has_none() -> None:
    assert requirements.of("flask", "1.0") == ()
    assert requirements.of("transformers", "not a version") == ()
    assert requirements.of("transformers", "0.1") == ()


def test_what_a_release_tests_when_it_runs() -> None:
    assert Floor("accelerate>=1.1.0", "Trainer") in requirements.floors_of("transformers", "5.0.0")
    assert Floor("huggingface-hub>=0.30.0,<1.0", "import") in requirements.floors_of(
        "transformers", "4.52.4"
    )


@pytest.mark.parametrize(
    ("installed", "kind", "entry", "stops"),
    [
        ({"transformers": "4.52.4", "huggingface-hub": "1.0.0"}, "floor", "import", True),
        ({"transformers": "5.0.0", "accelerate": "1.0.1"}, "floor", "Trainer", True),
        ({"trl": "0.18.1", "transformers": "4.40.0"}, "metadata", "", False),
        ({"transformers": "4.52.4", "python": "3.8.1"}, "metadata", "", False),
    ],
)
def test_a_set_that_is_not_allowed(
    installed: dict[str, str], kind: str, entry: str, stops: bool
) -> None:
    [found] = requirements.violations(installed)
    assert (found.kind, found.entry, found.stops) == (kind, entry, stops)
    assert found.since in requirements.releases(found.caller)


def test_a_set_that_is_allowed() -> None:
    installed = {
        "transformers": "4.52.4",
        "huggingface_hub": "0.36.2",
        "accelerate": "1.8.0",
        "numpy": "2.2.0",
    }
    assert list(requirements.violations(installed)) == []
