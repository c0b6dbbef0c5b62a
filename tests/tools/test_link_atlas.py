"""The tool that writes the atlas: cells, a journal that is resumed, shards, the audit."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import link_atlas as tool
import pytest
from link_reader import cell

PEFT = "from accelerate.utils.memory import clear_device_cache\n"
RELEASES = {
    ("accelerate", "0.31.0"): "",
    ("accelerate", "0.34.2"): "",
    ("peft", "0.14.0"): "",
    ("peft", "0.15.0"): PEFT,
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for (package, version), text in RELEASES.items():
        with zipfile.ZipFile(folder / f"{package}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{package}/__init__.py", text)
            archive.writestr(
                f"{package}-{version}.dist-info/METADATA",
                "Metadata-Version: 2.1\nRequires-Python: >=3.8\nRequires-Dist: torch>=1.13\n"
                'Requires-Dist: black; extra == "dev"\n',
            )
    monkeypatch.setattr(tool, "DATA", tmp_path / "data")
    return folder


def data(tmp_path: Path, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(gzip.decompress((tmp_path / "data" / name).read_bytes()))
    return found


def run(cache: Path, *arguments: str) -> int:
    return tool.main(["--cache", str(cache), *arguments])


def test_a_break_is_written_with_its_releases(tmp_path: Path, cache: Path) -> None:
    assert run(cache) == 0
    atlas = data(tmp_path, "atlas.json.gz")
    assert atlas["checked"] == {"accelerate": ["0.31.0", "0.34.2"], "peft": ["0.14.0", "0.15.0"]}
    assert atlas["interpolated"] == []
    [row] = atlas["rows"]  # type: ignore[misc]
    assert row[:6] == [  # type: ignore[has-type]
        "peft", "accelerate", "import", "accelerate.utils.memory.clear_device_cache",
        "peft/__init__.py", "import",
    ]  # fmt: skip
    assert row[9] == [[1, 1]]  # type: ignore[has-type]
    requires = data(tmp_path, "requirements.json.gz")["peft"]
    assert requires["requires"] == {"python>=3.8": [0], "torch>=1.13": [0]}  # type: ignore[index]


def test_finished_cells_are_not_read_again(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = cell.read, []

    def interrupted(path: Path, package: str, version: str, kept: dict[Any, Any]) -> dict[str, Any]:
        seen.append(version)
        if version == "0.14.0" and seen.count(version) == 1:
            raise KeyboardInterrupt
        return real(path, package, version, kept)

    monkeypatch.setattr(cell, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(cache)
    with (cache / "link-atlas.jsonl").open("a") as journal:
        journal.write('{"cut off')
    assert run(cache) == 0
    assert seen == ["0.31.0", "0.34.2", "0.14.0", "0.14.0", "0.15.0"]
    assert run(cache) == 0
    assert len(seen) == 5


def test_shards_join_into_the_same_data(tmp_path: Path, cache: Path) -> None:
    assert run(cache) == 0
    whole = (tmp_path / "data" / "atlas.json.gz").read_bytes()
    journals = [str(tmp_path / f"{part}.jsonl") for part in (1, 2)]
    for part, journal in enumerate(journals, 1):
        assert run(cache, "--shard", f"{part}/2", "--journal", journal) == 0
    (tmp_path / "data" / "atlas.json.gz").unlink()
    assert run(cache, "--merge", *journals, "--journal", str(tmp_path / "none.jsonl")) == 0
    assert (tmp_path / "data" / "atlas.json.gz").read_bytes() == whole


def test_a_missing_shard_is_named(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = str(tmp_path / "1.jsonl")
    assert run(cache, "--shard", "1/2", "--journal", journal) == 0
    assert run(cache, "--merge", journal, "--journal", str(tmp_path / "none.jsonl")) == 2
    assert "2 releases were not read, such as accelerate 0.34.2" in capsys.readouterr().err


def test_the_audit_reads_again_and_finds_changed_data(tmp_path: Path, cache: Path) -> None:
    assert run(cache) == 0
    assert run(cache, "--audit") == 0
    (tmp_path / "data" / "atlas.json.gz").write_bytes(b"other")
    assert run(cache, "--audit") == 1
    assert (tmp_path / "data" / "atlas.json.gz").read_bytes() == b"other"


def test_a_folder_without_wheels_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 2
    assert "there are no wheels" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["3/2", "0/2", "x"])
def test_a_shard_that_is_none_is_refused(tmp_path: Path, shard: str) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, "--shard", shard)
