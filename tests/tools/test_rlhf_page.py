"""docs/rlhf.md: its tables are those that the data give, and what it proposes fits the releases."""

from __future__ import annotations

import rlhf_page
from packaging.version import Version

from metalassay.bugs import api_history


def test_the_page_is_what_the_tool_writes() -> None:
    text = rlhf_page.PAGE.read_text("utf-8")
    assert rlhf_page.page(text) == text
    assert rlhf_page.page(text.replace("until 0.11.4", "until 9.9.9")) == text


def test_every_release_has_one_equivalent_whose_arguments_it_accepts() -> None:
    history = api_history.history("trl")
    for release in history.releases:
        if release == "0.4.0":  # the guide's gradient_accumulation_steps came with 0.4.1
            continue
        rows = [
            row
            for row in rlhf_page.TABLE["equivalent"]
            if Version(row["first"]) <= Version(release)
            and (not row["last"] or Version(release) <= Version(row["last"]))
        ]
        assert len(rows) == 1, release
        if rows[0]["config"] in rlhf_page.PLACES:
            for argument in rows[0]["arguments"]:
                found = rlhf_page.accepts(rows[0]["config"], argument).at(release)
                assert found is True, (release, argument)


def test_every_equivalent_was_executed_within_its_range() -> None:
    for row in rlhf_page.TABLE["equivalent"]:
        assert row["executed"]
        for version in map(Version, row["executed"]):
            assert version >= Version(row["first"])
            assert not row["last"] or version <= Version(row["last"])


def test_what_the_page_says_of_the_guides_call_is_what_the_data_say() -> None:
    place = rlhf_page.PLACES[0]
    for release, expected in (
        ("0.4.0", False),
        ("0.4.1", True),
        ("0.11.4", True),
        ("0.12.0", False),
    ):
        taken = [rlhf_page.accepts(place, each).at(release) for each in rlhf_page.TABLE["guide"]]
        assert all(taken) is expected, release
