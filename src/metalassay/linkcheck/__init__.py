"""Link check: what one package of the training stack calls and another, as installed, lacks."""

from metalassay.linkcheck.atlas import known_breaks
from metalassay.linkcheck.breaks import Break
from metalassay.linkcheck.installed import Report, check, from_json, kept

__all__ = ["Break", "Report", "check", "from_json", "kept", "known_breaks"]
