"""Where packages are: an interpreter, an environment, a folder; and what is installed there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from damaged_metadata import DAMAGES
from packages_on_disk import install

from metalassay.errors import UserError
from metalassay.linkcheck import places


def test_a_folder_of_packages_is_a_place(tmp_path: Path) -> None:
    install(tmp_path, "trl", "0.16.1", {})
    assert places.search_path(str(tmp_path)) == (tmp_path,)


def test_an_interpreter_is_asked(tmp_path: Path) -> None:
    assert all(each.is_dir() for each in places.search_path(sys.executable))


@pytest.mark.parametrize("text", ["no such python", ""])
def test_what_is_no_interpreter_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match="does not run as a Python interpreter"):
        places.search_path(str(tmp_path / text / "x"))


def test_a_folder_without_packages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither an environment nor"):
        places.search_path(str(tmp_path))


def test_a_program_that_is_not_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho no >&2\nexit 3\n", "utf-8")
    path.chmod(0o755)
    with pytest.raises(UserError, match="interpreter: no"):
        places.search_path(str(path))


def test_versions_come_from_the_metadata(tmp_path: Path) -> None:
    install(tmp_path, "trl", "0.16.1", {})
    install(tmp_path, "huggingface_hub", "1.0.0", {})
    install(tmp_path, "flask", "1.0", {})
    found = places.installed([tmp_path])
    assert {name: each.version for name, each in found.items()} == {
        "trl": "0.16.1",
        "huggingface-hub": "1.0.0",
    }
    assert found["huggingface-hub"].folder == tmp_path


def test_an_editable_package_has_no_stamp_and_another_changes_with_its_files(
    tmp_path: Path,
) -> None:
    install(tmp_path, "trl", "0.16.1", {})
    before = places.installed([tmp_path])["trl"].stamp
    assert before
    (tmp_path / "trl-0.16.1.dist-info" / "RECORD").write_text("another", "utf-8")
    assert places.installed([tmp_path])["trl"].stamp != before
    url = '{"url": "file:///x", "dir_info": {"editable": true}}'
    (tmp_path / "trl-0.16.1.dist-info" / "direct_url.json").write_text(url, "utf-8")
    assert places.installed([tmp_path])["trl"].stamp == ""


def test_damaged_metadata_is_passed_over(tmp_path: Path) -> None:
    install(tmp_path, "trl", "0.16.1", {})
    (tmp_path / "trl-0.16.1.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    assert places.installed([tmp_path]) == {}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["METADATA", "RECORD", "direct_url.json"])
def test_metadata_that_cannot_be_read_leave_out_one_package_at_most(
    tmp_path: Path, damage: str, name: str
) -> None:
    install(tmp_path, "trl", "0.16.1", {})
    install(tmp_path, "accelerate", "1.8.0", {})
    file = tmp_path / "trl-0.16.1.dist-info" / name
    file.unlink(missing_ok=True)
    DAMAGES[damage](file)
    found = places.installed((tmp_path,))
    # Without a record the version is known nevertheless.
    assert found.keys() == ({"accelerate"} if name == "METADATA" else {"accelerate", "trl"})
    assert found["accelerate"].version == "1.8.0"
    assert found["accelerate"].folder == tmp_path


def test_a_stamp_changes_with_the_files_and_is_empty_where_they_may_be_edited(
    tmp_path: Path,
) -> None:
    install(tmp_path, "huggingface_hub", "0.30.0", {})
    info = tmp_path / "huggingface_hub-0.30.0.dist-info"
    before = places.installed((tmp_path,))["huggingface-hub"].stamp
    assert before
    (info / "RECORD").write_text("x" * 10, "utf-8")
    assert places.installed((tmp_path,))["huggingface-hub"].stamp != before
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}}', "utf-8")
    assert places.installed((tmp_path,))["huggingface-hub"].stamp == ""
