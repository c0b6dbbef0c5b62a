"""Read the frames of a traceback, and whose code each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEAR = 30_000  # characters before an exception in which its traceback is
_START = "Traceback (most recent call last)"
_FRAME = re.compile(
    # Python; IPython and Jupyter ("File ~/a.py:3, in f(x)", "Cell In[3], line 1"); rich ("/a.py:3 in f")
    r"File \"(?P<python>[^\"\n]{1,400})\", line (?P<number>\d{1,9})(?:, in (?P<function>[\w<>.]+))?"
    r"|(?:File )?(?P<other>(?:[~/]|[A-Za-z]:[\\/])[^\s:\"]{1,400}\.py)(?::(?P<other_number>\d{1,9}),?)?"
    r" in (?P<other_function>[\w<>.]+)"
    r"|(?P<cell>Cell In ?\[\d+\]|<ipython-input-[\w-]{1,60}>)"
)
_PACKAGES = re.compile(r"(?:site|dist)-packages/(?P<path>(?P<name>[A-Za-z_]\w*)[^\n]*)")
_STANDARD = re.compile(r"/lib/python3[^/]*/|<frozen |/Python\.framework/")
_SOURCES = re.compile(r"/(?P<name>[A-Za-z_]\w*)/src/(?P<path>(?P=name)/[^\n]*)")


@dataclass(frozen=True)
class Frame:
    """One frame. ``library`` is the import name of the package whose file it is, "" for the user's own.

    ``module`` is the dotted path of a library's file, ``source`` the lines printed below the frame.
    Python's own files have the library "python". ``number`` is the line's, if the text tells it.
    """

    path: str
    function: str
    library: str
    module: str
    source: str
    number: int | None = None


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


def on_line(line: str) -> Frame | None:
    """Return the frame that a line of a traceback names, without its source; None if it names none."""
    if ".py" not in line and 'File "' not in line and "In" not in line:
        return None
    match = _FRAME.search(line, 0, 1_000)
    return _frame(match, "") if match else None


def library_of(path: str) -> tuple[str, str]:
    """Return the library whose file this is and the file's dotted path; as ``Frame`` has them."""
    path = path.replace("\\", "/")
    if found := _PACKAGES.search(path) or _SOURCES.search(path):
        module = found["path"].removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        return found["name"], module
    return ("python" if _STANDARD.search(path) else ""), ""


def _frame(match: re.Match[str], below: str) -> Frame:
    path = (match["python"] or match["other"] or match["cell"]).replace("\\", "/")
    library, module = library_of(path)
    function = match["function"] or match["other_function"] or ""
    number = match["number"] or match["other_number"]
    return Frame(path, function, library, module, below[:2_000], int(number) if number else None)
