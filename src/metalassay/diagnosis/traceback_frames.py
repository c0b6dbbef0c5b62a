"""Read the frames of a traceback, and whose code each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEAR = 30_000  # characters before an exception in which its traceback is
_START = "Traceback (most recent call last)"
_FRAME = re.compile(
    # Python; IPython and Jupyter ("File ~/a.py:3, in f(x)", "Cell In[3], line 1"); rich ("/a.py:3 in f")
    r"File \"(?P<python>[^\"\n]{1,400})\", line \d+(?:, in (?P<function>[\w<>.]+))?"
    r"|(?:File )?(?P<other>[~/][^\s:\"]{1,400}\.py)(?::\d+,?)? in (?P<other_function>[\w<>.]+)"
    r"|(?P<cell>Cell In ?\[\d+\]|<ipython-input-[\w-]{1,60}>)"
)
_PACKAGES = re.compile(r"(?:site|dist)-packages/(?P<path>(?P<name>[A-Za-z_]\w*)[^\n]*)")
_STANDARD = re.compile(r"/lib/python3[^/]*/|<frozen |/Python\.framework/")
_SOURCES = re.compile(r"/(?P<name>[A-Za-z_]\w*)/src/(?P<path>(?P=name)/[^\n]*)")


@dataclass(frozen=True)
class Frame:
    """One frame. ``library`` is the import name of the package whose file it is, "" for the user's own.

    ``module`` is the dotted path of a library's file, ``source`` the lines printed below the frame.
    Python's own files have the library "python".
    """

    path: str
    function: str
    library: str
    module: str
    source: str


def before(text: str, position: int) -> tuple[Frame, ...]:
    """Return the frames of the traceback that ends at ``position``, the innermost last."""
    start = max(0, position - _NEAR)
    begin = text.rfind(_START, start, position)
    near = text[begin if begin >= 0 else start : position]
    matches = [*_FRAME.finditer(near)]
    ends = [*(each.start() for each in matches[1:]), len(near)][: len(matches)]
    return tuple(
        _frame(match, near[match.end() : end]) for match, end in zip(matches, ends, strict=True)
    )


def _frame(match: re.Match[str], below: str) -> Frame:
    path = (match["python"] or match["other"] or match["cell"]).replace("\\", "/")
    library = module = ""
    if found := _PACKAGES.search(path) or _SOURCES.search(path):
        library = found["name"]
        module = found["path"].removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    elif _STANDARD.search(path):
        library = "python"
    return Frame(
        path, match["function"] or match["other_function"] or "", library, module, below[:2_000]
    )
