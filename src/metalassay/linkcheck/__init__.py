"""Link check: what one package of the training stack calls and another, as installed, lacks.

``known_breaks`` needs the data alone; what reads sources is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metalassay.linkcheck.atlas import known_breaks
from metalassay.linkcheck.breaks import Break

if TYPE_CHECKING:
    from metalassay.linkcheck.installed import Report, check, from_json, kept

__all__ = ["Break", "Report", "check", "from_json", "kept", "known_breaks"]


def __getattr__(name: str) -> Any:
    if name in ("Report", "check", "from_json", "kept"):
        from metalassay.linkcheck import installed

        return getattr(installed, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
