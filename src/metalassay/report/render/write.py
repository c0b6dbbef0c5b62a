"""Writing a report to disk, each page completely or not at all."""

from __future__ import annotations

from pathlib import Path

from metalassay.errors import UserError
from metalassay.files import write_atomically
from metalassay.report.model import Report
from metalassay.report.render import html, markdown


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write report.md and report.html into ``folder``, creating it if missing; return their paths.

    Both pages are rendered before the first is written. Raises ``UserError`` if jinja2 or tabulate is
    missing or the folder cannot be written to; earlier pages are then left unchanged.
    """
    pages = {
        folder / "report.md": markdown.render(report),
        folder / "report.html": html.render(report),
    }
    try:
        for path, text in pages.items():
            write_atomically(path, text)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}", "name another folder with --output"
        ) from None
    markdown_path, html_path = pages
    return markdown_path, html_path
