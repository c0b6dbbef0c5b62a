"""Take the picture of the report for the README: docs/report.png, from the result files in docs/evidence/.

    python tools/report_picture.py

The page is that of `metalassay report` on those files, which were recorded on the machine that the page
names. It is photographed by the Chromium that is installed (BROWSER_BINARY names one that is not on PATH).
The picture has the headline, the first rows of the first compatibility table and two of the plots. The rest of the
page is left out; an ellipsis marks that the table goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from metalassay import report
from metalassay.report.render import html
from metalassay.results import load

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
PICTURE = ROOT / "docs" / "report.png"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# No sandbox, as containers run as root; the rest keeps the browser from calling home.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
WIDTH, HEIGHT = 1200, 1510
LARGEST = 300_000
"""Bytes; the README is read over slow connections too."""
# Shortens the page without changing what it shows. An ellipsis marks that the table goes on.
STYLE = """
<style>
  nav, h1, .summary, .notes, .read, .fold, .hint, .group:not([open]), main > p:not(.caption), main > h3,
  main > .scroll, #benchmarks, #comparison, #conditions, #method, .commands { display: none; }
  section { display: none; }
  section:has(figure) { display: inline-block; width: 49%; margin-right: .7%; vertical-align: top; }
  section > :not(h2, .plots), figure + figure { display: none; }
  .compat tbody tr:nth-child(n+7) { display: none; }
  .compat tbody::after { content: "\\22ee"; display: block; padding: .2rem .7rem; }
  h2 { margin: 1.25rem 0 .5rem; padding-top: .6rem; }
  .plots { margin: 0; }
  body { overflow: hidden; }
</style>
"""


def page() -> str:
    """Return the page of the recorded result files, shortened for the picture."""
    loaded = load.load([EVIDENCE / "compat", EVIDENCE / "benchmarks"])
    if loaded.warnings:
        raise SystemExit("\n".join(loaded.warnings))
    return html.render(report.build(loaded)).replace("</head>", f"{STYLE}</head>", 1)


def browser() -> str:
    """Return the path of the browser. Exits with a message if none is installed."""
    binary = os.environ.get("BROWSER_BINARY") or next(filter(None, map(shutil.which, NAMES)), None)
    if binary is None:
        raise SystemExit(
            f"no browser on PATH ({', '.join(NAMES)})\n"
            "  next: apt-get install chromium, or set BROWSER_BINARY"
        )
    return binary


def photograph(markup: str, picture: Path) -> None:
    """Write a picture of the top of a page."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "report.html"), Path(folder, "report.png")
        source.write_text(markup, "utf-8")
        subprocess.run(
            [
                browser(),
                *FLAGS,
                f"--user-data-dir={folder}/profile",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={target}",
                source.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        shutil.copyfile(target, picture)


def main() -> int:
    """Take the picture and print its size."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    photograph(page(), PICTURE)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {size / 1000:.0f} kB")
    if size > LARGEST:
        print(f"larger than {LARGEST / 1000:.0f} kB; lower HEIGHT", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
