"""What a Python says of itself, and which installs of a package it finds."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from damaged_metadata import DAMAGES

from metalassay.environment import self_report


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Let Python search in two folders."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.setattr(sys, "path", ["", str(first), str(second), str(first), "/not/there"])
    return first, second


def dist(folder: Path, name: str, **files: str) -> None:
    """Write the metadata folder of a package."""
    (folder / name).mkdir()
    for file, text in files.items():
        (folder / name / file).write_text(text)


@pytest.mark.parametrize("damage", DAMAGES)
def test_metadata_that_cannot_be_read_are_no_version_and_hide_no_other(
    folders: tuple[Path, Path], damage: str
) -> None:
    first, _ = folders
    dist(first, "torch-2.9.0.dist-info", INSTALLER="pip")
    dist(first, "trl-1.0.dist-info", METADATA="Version: 1.0\n")
    DAMAGES[damage](first / "torch-2.9.0.dist-info" / "METADATA")
    assert self_report.versions(["torch", "trl"]) | {"python": ""} == {
        "python": "",
        "torch": "unreadable",
        "trl": "1.0",
    }
    found = {each["name"]: each for each in installs("torch", "trl")}
    assert found["torch"]["version"] == "unreadable"
    assert found["torch"]["metadata"] == "torch-2.9.0.dist-info"
    for name in ("INSTALLER", "direct_url.json"):
        (first / "trl-1.0.dist-info" / name).unlink(missing_ok=True)
        DAMAGES[damage](first / "trl-1.0.dist-info" / name)
    assert installs("trl")[0]["version"] == "1.0"


def installs(*packages: str) -> Any:
    """Return the installs that are found."""
    return self_report.report(list(packages))["installs"]


def test_every_install_is_listed_in_the_order_of_the_search(folders: tuple[Path, Path]) -> None:
    first, second = folders
    dist(first, "huggingface_hub-1.0.0.dist-info", INSTALLER="uv\n")
    dist(second, "huggingface_hub-0.36.2.dist-info", INSTALLER="conda")
    dist(second, "Torch-2.9.0+cpu.dist-info")
    dist(second, "accelerate-0.2.0-py3.8.egg-info")
    dist(second, "~ccelerate-1.0.dist-info")
    found = installs("huggingface-hub", "torch", "accelerate")
    listed = [(each["name"], each["version"], each["installer"]) for each in found]
    assert listed[0] == ("huggingface-hub", "1.0.0", "uv")
    # Within a folder the file system decides, as it does for importlib.metadata.
    assert sorted(listed[1:]) == [
        ("accelerate", "0.2.0", ""),
        ("huggingface-hub", "0.36.2", "conda"),
        ("torch", "2.9.0+cpu", ""),
    ]
    assert found[0]["folder"] == str(first)


def test_editable_installs_say_where_their_source_is(folders: tuple[Path, Path]) -> None:
    first, _ = folders
    url = {"url": "file:///code/trl", "dir_info": {"editable": True}}
    dist(first, "trl-1.0.dist-info", **{"direct_url.json": json.dumps(url)})
    dist(first, "peft-1.0.dist-info", **{"direct_url.json": '{"url": "x", "dir_info": {}}'})
    (first / "accelerate.egg-link").write_text("/code/accelerate\n.")
    found = {each["name"]: each["editable"] for each in installs("trl", "peft", "accelerate")}
    assert found == {"trl": "file:///code/trl", "peft": "", "accelerate": "/code/accelerate"}


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"dir_info": 3}', '{"dir_info": {"editable": true}}', "[" * 90_000]
)
def test_a_damaged_direct_url_is_that_of_no_editable_install(
    folders: tuple[Path, Path], text: str
) -> None:
    dist(folders[0], "trl-1.0.dist-info", **{"direct_url.json": text})
    assert [each["editable"] for each in installs("trl")] == [""]


def test_it_knows_its_folders_and_whether_pip_is_there(folders: tuple[Path, Path]) -> None:
    before = self_report.report([])
    (folders[1] / "pip").mkdir()
    after = self_report.report([])
    assert (before["has_pip"], after["has_pip"]) == (False, True)
    assert after["prefix"] == sys.prefix
    assert Path(str(after["stdlib"]), "json", "__init__.py").is_file()


def test_versions_are_those_of_the_metadata(folders: tuple[Path, Path]) -> None:
    first, second = folders
    dist(first, "trl-1.0.dist-info", METADATA="Name: trl\nVersion: 1.0.1\n")
    dist(second, "peft-1.0.dist-info")
    (second / "peft-1.0.dist-info" / "METADATA").write_bytes(b"Version: \xff\n")
    (second / "tokenizers.egg-info").mkdir()
    (second / "tokenizers.egg-info" / "PKG-INFO").write_text("Version: 0.21\n\nVersion: 0.1\n")
    (second / "numpy-1.0.egg-info").write_text("Name: numpy\nVersion: 1.0.2\n")
    dist(second, "datasets-2.0.dist-info", METADATA="Name: datasets\n")
    names = ["trl", "peft", "tokenizers", "numpy", "datasets", "torch"]
    found = self_report.versions(names)
    assert {name: found.get(name) for name in names} == {
        "trl": "1.0.1", "peft": "unreadable", "tokenizers": "0.21", "numpy": "1.0.2",
        "datasets": "None", "torch": None,
    }  # fmt: skip
    # What lies beside its source was not installed there.
    assert [each["name"] for each in installs("tokenizers", "numpy")] == ["numpy"]


def test_versions_are_those_that_importlib_finds() -> None:
    names = sorted({re.sub("[-_.]+", "-", dist.name).lower() for dist in metadata.distributions()})
    assert len(names) > 20
    found = self_report.versions(names)
    assert {name: found[name] for name in names} == {name: metadata.version(name) for name in names}


def test_packages_in_an_archive_are_found_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "trl.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("trl-1.0.dist-info/METADATA", "Name: trl\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [str(archive)])
    assert self_report.versions(["trl", "torch"]).get("trl") == "1.0"
