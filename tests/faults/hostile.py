"""Hostile files, texts, names and surroundings; each is made from its kind and a random generator."""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

LONG = 300_000  # bytes of a long file: what is quadratic takes minutes for it

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "-",
    "--",
    "0",
    "-1",
    "-0",
    "1",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "1.5.5.5",
    "9" * 5000,
    "-" + "9" * 5000,
    "[" * 100_000,
    "x" * 300,
    "/" * 3000,
    "a/" * 2000,
    "../" * 30,
    "%s%n%x",
    "{0.__class__}",
    "$(echo x)",
    "a\nb",
    "a\tb\rc",
    "\x1b]0;title\x07\x1b[31m",
    "\x9b31m\x85",
    "\u202eabc\u2066",
    "\udcff\udc80",  # bytes that are not UTF-8
    "\N{GRINNING FACE}" * 50,
    "*.json",
    "**/*",
    "[a-",
    "a::b",
    "x:y:z=1",
    "transit-cnn:train:batch=" + "9" * 30,
    "torch=" + "9" * 5000,
    "torch>=2,<1",
    "http://127.0.0.1:9/x.json",
    "s3://nothing/x",
    "file:///etc/passwd",
    "~nobody/x",
    "/nowhere/at/all",
    "/dev/null",
    "/proc/self/mem",
    "None",
    "true",
)
"""Texts for options and arguments: numbers that are none, names that cannot be, and what terminals obey."""

NAMES: tuple[str, ...] = (
    "a.json",
    "a b.json",
    "new\nline.json",
    "\x1b[31mred.json",
    "quote'\".json",
    "-dash.json",
    "\udcff.json",
    "*.json",
    "\u202egnp.json",
    "n" * 200 + ".json",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "Pipfile.lock",
)
CLASSES = " \t\n\r.,:;'\"`([{<>}])/\\=-_^~|x0\x1b\x00\u00e9"
"""Characters of which a long run is one word for somebody's pattern."""


def _mutated(content: bytes, random_: random.Random) -> bytes:
    """Return the content of a valid file with one to five mutations, some of its JSON values."""
    if random_.random() < 0.6:
        try:
            value = json.loads(content)
        except ValueError:
            pass
        else:
            for _ in range(random_.randint(1, 3)):
                _mutate_value(value, random_)
            return json.dumps(value).encode()
    data = bytearray(content)
    for _ in range(random_.randint(1, 5)):
        if not data:
            break
        at = random_.randrange(len(data))
        end = min(len(data), at + random_.choice((1, 1, 4, 100)))
        random_.choice(
            (
                lambda at=at, end=end: data.__setitem__(
                    slice(at, end), random_.randbytes(end - at)
                ),
                lambda at=at, end=end: data.__delitem__(slice(at, end)),
                lambda at=at, end=end: data.__setitem__(slice(at, at), data[at:end] * 3),
                lambda at=at: data.__setitem__(slice(at, at), random_.choice(_PIECES)),
            )
        )()
    return bytes(data)


_PIECES = (
    b"[" * 50_000,
    b"9" * 5000,
    b"\xff",
    b"\x00",
    b'"',
    b"'",
    b"\n",
    b"]",
    b"}",
    b"=",
    b"\x1b[31m",
)
_VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 10**30, 1e308, -1e308, float("nan"), float("inf"), "", "x" * 2000, "\x1b[31m",
    "\ud800", [], {}, [[]], [None], {"": None}, "1", "2099-01-01T00:00:00Z", "../../x", "=1+1",
)  # fmt: skip


def _mutate_value(value: object, random_: random.Random) -> None:
    """Change something somewhere inside a JSON value: a value, its type, a missing or doubled member."""
    while isinstance(value, dict | list) and value:
        key = random_.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and random_.random() < 0.8:
            value = inner
            continue
        if random_.random() < 0.25:
            del value[key]
        elif isinstance(value, list) and random_.random() < 0.25:
            value += copy.deepcopy(value) * 2
        else:
            value[key] = copy.deepcopy(random_.choice(_VALUES))
        return


Maker = Callable[[Path, random.Random, bytes], object]


def _link(target: str) -> Maker:
    return lambda path, random_, valid: path.symlink_to(target)


def _bytes(make: Callable[[random.Random, bytes], bytes]) -> Maker:
    return lambda path, random_, valid: path.write_bytes(make(random_, valid))


def _socket(path: Path, random_: random.Random, valid: bytes) -> None:
    place = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(path.parent)  # the whole path may be too long for a socket
    try:
        place.bind(path.name)
    except (OSError, ValueError):
        path.write_bytes(b"")  # a name that no socket can have
    finally:
        os.chdir(here)
        place.close()


def _unreadable(path: Path, random_: random.Random, valid: bytes) -> None:
    path.write_bytes(valid)
    path.chmod(0)


FILES: dict[str, Maker] = {
    "valid": _bytes(lambda random_, valid: valid),
    "mutated": _bytes(lambda random_, valid: _mutated(valid, random_)),
    "truncated": _bytes(lambda random_, valid: valid[: random_.randrange(len(valid) + 1)]),
    "empty": _bytes(lambda random_, valid: b""),
    "nul": _bytes(lambda random_, valid: b"\x00" * 1000),
    "random": _bytes(lambda random_, valid: random_.randbytes(2000)),
    "gzip": _bytes(lambda random_, valid: gzip.compress(valid, mtime=0)[:-5]),
    "brackets": _bytes(
        lambda random_, valid: random_.choice((b"[", b"{", b'{"a":', b"(")) * 200_000
    ),
    "digits": _bytes(lambda random_, valid: random_.choice((b"", b"a = ", b'{"a":')) + b"1" * 5000),
    "not UTF-8": _bytes(lambda random_, valid: valid[: len(valid) // 2] + b"\xff\xfe" + valid),
    "BOM": _bytes(lambda random_, valid: b"\xef\xbb\xbf" + valid),
    "UTF-16": _bytes(lambda random_, valid: valid.decode("utf-8", "replace").encode("utf-16")),
    "surrogates": _bytes(lambda random_, valid: b'{"\\ud800": "\\udfff", "text": "\\ud800"}'),
    "long run": _bytes(lambda random_, valid: random_.choice(CLASSES).encode() * LONG),
    "long line": _bytes(
        lambda random_, valid: valid.replace(b"\n", b" ") * (LONG // (len(valid) + 1))
    ),
    "many lines": _bytes(lambda random_, valid: b"\n" * LONG),
    "pipe": lambda path, random_, valid: os.mkfifo(path),
    "socket": _socket,
    "folder": lambda path, random_, valid: path.mkdir(),
    "dangling link": _link("nowhere"),
    "link loop": lambda path, random_, valid: path.symlink_to(path.name),
    "link to /proc": _link("/proc/self"),
    "link to /dev/zero": _link("/dev/zero"),
    "link to /dev/full": _link("/dev/full"),
    "link to /dev/null": _link("/dev/null"),
    "unreadable": _unreadable,
}
"""The makers of hostile files, by kind; each gets the path, a random generator and a valid content."""

SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "plain": {},
    "ASCII": {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "LANG": "C"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "no home": {"HOME": None, "USER": None, "LOGNAME": None},
    "home that is not there": {"HOME": "/nowhere/home"},
    "no place for temporary files": {"TMPDIR": "/nowhere/tmp"},
    "empty PATH": {"PATH": ""},
    "no PATH": {"PATH": None},
    "no columns": {"COLUMNS": "0"},
    "one column": {"COLUMNS": "1"},
    "20 columns": {"COLUMNS": "20"},
    "columns that are none": {"COLUMNS": "x", "LINES": "-1"},
    "a run that is over": {"METALASSAY_RUN": "/nowhere/run"},
    "odd variables": {
        "PYTORCH_ENABLE_MPS_FALLBACK": "x",
        "OMP_NUM_THREADS": "-1",
        "NO_COLOR": "\x1b",
    },
    "odd time zone": {"TZ": "Nowhere/Nothing"},
    "a CI page that cannot be written": {"GITHUB_STEP_SUMMARY": "/nowhere/page"},
    "deleted folder": {},
    "closed stdin": {},
    "closed stdout": {},
    "closed stderr": {},
    "full stdout": {},
    "full stderr": {},
    "unread stdout": {},
}
"""Surroundings: variables to set, or None to remove; the streams are closed by ``run_input``."""
