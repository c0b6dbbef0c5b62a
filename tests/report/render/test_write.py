"""Writing the two pages: both or none, with the same line ends everywhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from constructed_runs import report_of

from metalassay import report
from metalassay.errors import UserError
from metalassay.report.render import html, markdown
from metalassay.results import load


def test_both_pages_are_written_with_plain_line_ends(tmp_path: Path) -> None:
    built = report_of(lambda document: document)
    paths = report.write_report(built, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.md", "report.html"]
    assert paths[0].read_text("utf-8") == markdown.render(built)
    assert paths[1].read_text("utf-8") == html.render(built)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["report.html", "report.md"]


def test_a_folder_that_cannot_be_written_to_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write to .*name another folder with --output"):
        report.write_report(report.build(load.Loaded()), tmp_path / "file")


@pytest.mark.parametrize("package", ["jinja2", "tabulate"])
def test_a_missing_package_is_named_before_anything_is_written(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = report_of(lambda document: document)
    monkeypatch.setitem(sys.modules, package, None)  # makes the import fail
    with pytest.raises(
        UserError,
        match=rf"needs {package}, which is not installed \(pip install 'metalassay\[report\]'\)",
    ):
        report.write_report(built, tmp_path)
    assert list(tmp_path.iterdir()) == []
