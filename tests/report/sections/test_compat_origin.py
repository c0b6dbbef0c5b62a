"""The heads of the columns: when and with what they were recorded, and what was not pinned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from constructed_origin import DATA_NEW, DATA_OLD, FINE, row, version_set, written

from metalassay.report.model import CompatTable
from metalassay.report.sections import compat_origin
from metalassay.results import load


def origin(data: str | None, commit: str | None = "0123456789abcdef") -> dict[str, Any]:
    lock = ["numpy==2.4.6", "huggingface-hub==0.36.2"]
    return {"commit": commit, "data": data, "interpreter": None, "lock": lock, "key": None}


def table(folder: Path, *sets: dict[str, Any]) -> CompatTable:
    files = {f"{number}.json": document for number, document in enumerate(sets)}
    return written(folder, files)[1]


def heads(compat: CompatTable, name: str) -> list[str]:
    at = compat.fact_names.index(name)
    return [column.facts[at] for column in compat.columns]


@pytest.mark.parametrize(
    ("commit", "shown"),
    [
        ("0123456789abcdef", "0123456789ab"),
        ("0123456789abcdef+", "0123456789ab+"),
        ("0123abc", "0123abc"),
        (None, "commit not recorded"),
    ],
)
def test_the_head_says_when_and_with_which_commit(
    commit: str | None, shown: str, tmp_path: Path
) -> None:
    late = {"started": "2026-11-20T23:30:00-01:00"}
    compat = table(
        tmp_path, version_set("x", "2026-11-20", FINE, origin=origin(None, commit), **late)
    )
    assert heads(compat, "recorded (UTC)") == ["2026-11-21"]
    assert heads(compat, "metalassay") == [shown]
    whole = f"metalassay commit {commit}" if commit else "commit not recorded"
    assert compat.columns[0].recorded == f"2026-11-21 00:30 UTC, {whole}"


def test_columns_that_were_judged_with_other_data_than_the_newest_are_marked(
    tmp_path: Path,
) -> None:
    compat = table(
        tmp_path,
        version_set("a", "2026-11-20", FINE, origin=origin(DATA_OLD)),
        version_set("b", "2026-11-28", FINE, origin=origin(DATA_NEW)),
        version_set("c", "2026-11-19", FINE, origin=origin(DATA_OLD)),
        version_set("d", "2026-11-18", FINE, origin=origin(None)),
        version_set("e", "2026-11-17", origin=origin(DATA_OLD), not_installable="a conflict"),
    )
    old = f"{DATA_OLD} (another)"
    assert heads(compat, "bug data") == [old, DATA_NEW, old, "revision not recorded", "–"]  # noqa: RUF001
    assert compat.alerts == (
        f"3 of 4 columns were judged with another revision of the bug data than the newest, {DATA_NEW} "
        f"({DATA_OLD}: a, c; revision not recorded: d); run them again to compare",
    )
    assert compat.remarks == ("3 sets judged with other bug data",)


def test_two_columns_suffice_to_differ_and_one_never_does(tmp_path: Path) -> None:
    sets = [
        version_set("a", "2026-11-20", FINE, origin=origin(DATA_OLD)),
        version_set("b", "2026-11-28", FINE, origin=origin(DATA_NEW)),
    ]
    compat = table(tmp_path / "two", *sets)
    assert heads(compat, "bug data") == [f"{DATA_OLD} (another)", DATA_NEW]
    assert compat.alerts[0].startswith("1 of 2 columns was judged with another revision")
    nothing = version_set("c", "2026-11-28", not_installable="a conflict", versions={})
    assert "bug data" not in table(tmp_path / "one", sets[0], nothing).fact_names


@pytest.mark.parametrize("data", [DATA_NEW, None])
def test_files_of_one_revision_or_of_none_are_not_marked(data: str | None, tmp_path: Path) -> None:
    compat = table(
        tmp_path,
        version_set("a", "2026-11-20", FINE, origin=origin(data)),
        version_set("b", "2026-11-28", FINE, origin=origin(data)),
    )
    assert "bug data" not in compat.fact_names
    assert compat.alerts == compat.remarks == ()


def test_the_head_names_what_a_floating_requirement_meant_that_day(tmp_path: Path) -> None:
    floating = row(
        "newest", "accelerate", "torch>=2.13", "transformers==4.52.4", "huggingface_hub<1"
    )
    pinned = row("pinned", "accelerate==1.8.0", "huggingface-hub==0.30.0", "./a/path")
    compat = table(
        tmp_path,
        version_set("newest", "2026-11-28", FINE, set=floating, origin=origin(None)),
        version_set("pinned", "2026-11-28", FINE, set=pinned),
        version_set("not", "2026-11-28", set=floating, not_installable="no", versions={}),
    )
    assert heads(compat, "accelerate") == ["1.8.0 (not pinned)", "wanted any", "1.8.0"]
    assert heads(compat, "torch") == ["2.13.0 (not pinned)", "wanted >=2.13", "2.13.0"]
    assert heads(compat, "transformers") == ["4.52.4", "wanted ==4.52.4", "4.52.4"]
    # it is not among the packages whose versions are recorded, but in the lock
    assert heads(compat, "huggingface_hub")[:2] == ["0.36.2 (not pinned)", "wanted <1"]
    assert compat.columns[0].lock == "numpy==2.4.6, huggingface-hub==0.36.2"


def test_a_package_is_not_called_absent_where_nobody_looked(tmp_path: Path) -> None:
    floating = row("a", "accelerate==1.8.0", "rich")
    locked = {**origin(None), "lock": ["rich==14.0"]}
    compat = table(
        tmp_path,
        version_set("a", "2026-11-28", FINE, set=floating, origin=locked),
        version_set("b", "2026-11-28", FINE, origin=locked),
        version_set("c", "2026-11-28", FINE),
        version_set("d", "2026-11-28", FINE, origin={**origin(None), "lock": []}),
    )
    assert heads(compat, "rich") == ["14.0 (not pinned)", "14.0", "not installed", "–"]  # noqa: RUF001


def test_without_a_lock_an_unknown_version_is_not_made_up(tmp_path: Path) -> None:
    about = row("x", "accelerate==1.8.0", "datasets")
    written(tmp_path, {"x.json": version_set("x", "2026-11-28", FINE, set=about)})
    (one,) = load.load([tmp_path]).compat
    assert compat_origin.unpinned(one) == {"datasets": "not recorded"}
