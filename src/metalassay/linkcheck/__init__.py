"""Link check: what one package of the training stack calls and another, as installed, lacks."""

from metalassay.linkcheck.atlas import known_breaks
from metalassay.linkcheck.breaks import Break

__all__ = ["Break", "known_breaks"]
