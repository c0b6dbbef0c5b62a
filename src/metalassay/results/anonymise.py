"""A result file without what names a person or a device: what `metalassay submit` hands over.

Taken out: serial numbers and the like, host, user and full names, home folders and every other
absolute path, e-mail and network addresses. They are looked for wherever text stands, also in
tracebacks and in keys, by their form and by what this machine and the file itself call them.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import math
import platform
import re
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from metalassay.fields import FieldError
from metalassay.results import parse
from metalassay.results.parse import LargestBatch, Measurement, VersionSet

_FREE = frozenset({"name", "parity", "marks", "watts_from", "requires", "reason", "command", "why"})
_DEEPEST = 60  # levels; a result has 8

# Members of pytest-benchmark's files and of others' that hold such a thing and nothing we read.
_PRIVATE_KEYS = re.compile(
    r"node|host(_?name)?|fqdn|user(_?name)?|login|owner|author|e?_?mail|serial(_?number)?"
    r"|(platform_|hardware_|machine_|device_)?uu?id|provisioning_udid|udid|mac(_?address)?"
    r"|ip(_?address)?|home|cwd|work(ing)?_?dir(ectory)?|project|branch",
    re.IGNORECASE,
)
# Names so common that they tell of nobody, and would take ordinary words out of the text.
_NOBODY = frozenset(
    """
    admin administrator apple build builder ci circleci default docker github gitlab home local
    localhost localdomain mac macbook nobody root runner shared test tests travis ubuntu unknown user
    users vagrant work
    train infer cpu mps cuda float32 bfloat16 float16 samples tokens darwin linux stock patched passed
    failed skipped fine broken torch accelerate transformers python arm64 aarch64
    """.split()  # noqa: SIM905  (in the last lines: words that the reader holds against a list)
)
# The name may have spaces where a separator ends it.
_NAME = r"(?:[^/\\\n\"':,;()<>|]+(?=[/\\])|[^/\\\s\"':,;()<>|]+)"
_HOME = re.compile(rf"(?:/(?:Users|home)/|[A-Za-z]:\\+Users\\+)({_NAME})")
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "serial number",
        re.compile(
            r"\b(?:serial(?: ?number)?|hardware uuid|(?:provisioning )?udid)\b"
            r"(?: \([a-z ]+\))?[\"']? ?[:=] ?[\"']?[\w-]+",
            re.IGNORECASE,
        ),
    ),
    ("identifier", re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")),
    ("e-mail address", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("network address", re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")),
    ("path", re.compile(r"(?<=[\"'`])(?:file://)?~?/[^\"'`\n]+(?=[\"'`])")),
    ("path", re.compile(rf"(?:file://)?{_HOME.pattern}(?:[/\\][^\s\"':,;()<>|]*)*")),
    ("path", re.compile(r"(?<![\w.~:/<>*${}\]\)-])(?:file://)?~?/(?![\s/])[^\s\"'`:,;()<>|]+")),
    ("path", re.compile(r"(?<=[=:@])(?:file://)?~?/(?!/)[^\s\"'`:,;()<>|]+/[^\s\"'`:,;()<>|]+")),
    ("path", re.compile(r"(?<!\w)[A-Za-z]:\\[^\s\"':,;()<>|]+")),
    ("path", re.compile(r"(?<![\w\\])\\\\[^\s\"':,;()<>|]+")),
)


@dataclass
class Stripped:
    """The copy of a result file, and how often what was taken out of it where."""

    text: str = ""
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)  # (place, kind) -> times


def strip(content: bytes, names: Iterable[tuple[str, str]] = ()) -> Stripped:
    """Return a copy of a result file without what names a person or a device.

    ``names`` are pairs of a kind and a name, as ``of_this_machine`` returns them; the file's own
    home folders and host name are added. Raises ``FieldError`` for what is no result, what
    contradicts itself, and where the copy would say another thing than the file.
    """
    before = parse.parse(content, "")
    if not before:
        raise FieldError("it holds no measurement and no verdict")
    if isinstance(before, VersionSet) and before.distrusted:
        raise FieldError(f"it contradicts itself: {before.distrusted}")
    document = json.loads(content.decode("utf-8-sig"))
    known = [*names, *_in_the_file(document, 0)]
    stripped = Stripped()
    copy = _walk(document, "", _patterns(known), stripped, 0)
    stripped.text = json.dumps(copy, indent=1, allow_nan=False) + "\n"
    if _facts(parse.parse(stripped.text.encode(), "")) != _facts(before):
        places = ", ".join(f"{place}: {kind}" for place, kind in list(stripped.removed)[:3])
        raise FieldError(f"without what is private it would say another thing ({places})")
    return stripped


def of_this_machine() -> list[tuple[str, str]]:
    """Return what this machine and who works on it are called."""
    found = [("host name", socket.gethostname()), ("host name", platform.node())]
    # Windows has no pwd; a container may run as a number without a name or a home.
    with contextlib.suppress(ImportError, KeyError, OSError):
        user = getpass.getuser()
        found.append(("user name", user))
        import pwd

        # On a Mac this is the full name.
        found.append(("full name", pwd.getpwnam(user).pw_gecos.partition(",")[0]))
    with contextlib.suppress(RuntimeError):
        found.append(("user name", Path.home().name))
    return found


def _in_the_file(value: object, depth: int, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield what the file itself calls its machine and its user: host name, home folders."""
    if depth > _DEEPEST:
        raise FieldError("nested too deeply for a result")
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _in_the_file(member, depth + 1, name)
    elif isinstance(value, list):
        for member in value:
            yield from _in_the_file(member, depth + 1, key)
    elif isinstance(value, str):
        yield from (("user name", name) for name in _HOME.findall(value))
        if key in ("node", "host", "hostname", "fqdn"):
            yield "host name", value
        if key in ("user", "username", "login"):
            yield "user name", value


def _patterns(names: Iterable[tuple[str, str]]) -> list[tuple[str, re.Pattern[str]]]:
    words: dict[str, str] = {}
    for kind, name in names:
        # A host is called "jane-mini", "jane-mini.local" and "jane-mini.fritz.box".
        for each in (name, name.partition(".")[0] if kind == "host name" else name):
            word = each.strip().lower()
            if len(word) > 2 and word not in _NOBODY and not word.isdecimal():
                words.setdefault(word, kind)
    return [
        (words[word], re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])", re.IGNORECASE))
        for word in sorted(words, key=len, reverse=True)
    ]


def _walk(
    value: object,
    place: str,
    names: list[tuple[str, re.Pattern[str]]],
    stripped: Stripped,
    depth: int,
) -> object:
    if isinstance(value, dict):
        copy: dict[str, object] = {}
        for key, member in value.items():
            here = f"{place}.{key}" if place else key
            if _PRIVATE_KEYS.fullmatch(key) and member not in (None, ""):
                stripped.removed[_clean(here, "", names, Stripped()), "all of it"] += 1
                continue
            name = _clean(key, f"a key of {place or 'the file'}", names, stripped)
            here = f"{place}.{name}" if place else name
            copy[name] = _walk(member, here, names, stripped, depth + 1)
        return copy
    if isinstance(value, list):
        return [
            _walk(member, f"{place}[{index}]", names, stripped, depth + 1)
            for index, member in enumerate(value)
        ]
    if isinstance(value, str):
        return _clean(value, place, names, stripped)
    if isinstance(value, float) and not math.isfinite(value):
        return None  # no JSON; in nothing that the reader reads, or it would have refused the file
    return value


def _clean(
    text: str, place: str, names: list[tuple[str, re.Pattern[str]]], stripped: Stripped
) -> str:
    for kind, pattern in (*_KINDS, *names):
        text, times = pattern.subn(f"[{kind}]", text)
        if times:
            stripped.removed[place, kind] += times
    return text


def _facts(found: object) -> object:
    """Return what must be the same before and after: all but the free text."""
    if isinstance(found, VersionSet):
        facts = {name: value for name, value in vars(found).items() if name not in _FREE}
        bugs = [(bug.id, bug.verdict, len(bug.tests)) for bug in found.bugs]
        return {**facts, "bugs": bugs, "not_installable": found.not_installable is None}
    if isinstance(found, tuple):
        return [_facts(one) for one in found]
    if isinstance(found, (Measurement, LargestBatch)):
        return {name: value for name, value in vars(found).items() if name not in _FREE}
    return found
