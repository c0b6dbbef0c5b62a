"""Removes what identifies a person or a device from a result file, for `metalassay submit`.

Removed are serial numbers and other identifiers, host, user and full names, home folders and all
other absolute paths, e-mail and network addresses. They are searched for in all text, also in
tracebacks and in keys: by their form, and by the names that this machine and the file itself contain.
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
from metalassay.results.parse import LargestBatch, Measurement, SmokeSet, Unfinished, VersionSet

_FREE = frozenset({"name", "parity", "marks", "watts_from", "requires", "reason", "command", "why"})
_DEEPEST = 60  # levels of nesting; a result has 8

# Members of pytest-benchmark's and similar files that identify somebody and that we never read.
_PRIVATE_KEYS = re.compile(
    r"node|host(_?name)?|fqdn|user(_?name)?|login|owner|author|e?_?mail|serial(_?number)?"
    r"|(platform_|hardware_|machine_|device_)?uu?id|provisioning_udid|udid|mac(_?address)?"
    r"|ip(_?address)?|home|cwd|work(ing)?_?dir(ectory)?|project|branch",
    re.IGNORECASE,
)
# Names so common that they identify nobody; removing them would remove ordinary words.
_NOBODY = frozenset(
    """
    admin administrator apple build builder ci circleci default docker github gitlab home local
    localhost localdomain mac macbook nobody root runner shared test tests travis ubuntu unknown user
    users vagrant work
    train infer cpu mps cuda float32 bfloat16 float16 samples tokens darwin linux stock patched passed
    failed skipped fine broken torch accelerate transformers python arm64 aarch64
    """.split()  # noqa: SIM905  (the last lines: words that the reader compares with a list)
)
# The name may contain spaces if a path separator follows it.
_NAME = r"(?:[^/\\\n\"':,;()<>|]+(?=[/\\])|[^/\\\s\"':,;()<>|]+)"
_HOME = re.compile(rf"(?:/(?:Users|home)/|[A-Za-z]:\\+Users\\+)({_NAME})")
_WIDE_AT, _WIDE_DOT = "\uff20\ufe6b", "\uff0e\u3002\uff61"
"""The at signs and dots of other widths, which a reader takes for the same."""
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# Four numbers are also a version ("nvidia-cublas==13.4.1.3", "version 1.2.3.4", "1.2.3.4-generic"). The machine
# itself, 127.0.0.1 or 0.0.0.0, is no address that leads anywhere.
_IPV4 = re.compile(
    r"(?<![\w.+])(?<![A-Za-z_]-)(?<![=<>~!]=)(?<!version )(?<!release )"
    rf"(?!127\.|0\.)(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\d|[-+.][A-Za-z])"
)
# Where a version stands alone.
_VERSIONS = re.compile(r"(?:^|\.)(?:versions?|\w+_version(?:_string)?|release|installed)\b")
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
    ("e-mail address", re.compile(rf"[\w.+-]+[@{_WIDE_AT}][\w-]+(?:[.{_WIDE_DOT}][\w-]+)+")),
    ("network address", re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b")),
    (
        "network address",
        re.compile(
            r"(?<![\w:.])(?=[0-9A-Fa-f:]*::|(?:[0-9A-Fa-f]{1,4}:){7})[23Ff][0-9A-Fa-f]{3}:"
            r"(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9A-Fa-f]{1,4}(?:%\w+)?|(?<=::))(?![\w:])"
        ),
    ),
    ("path", re.compile(r"(?<![\w~])~[A-Za-z_][\w.-]*/[^\s\"'`:,;()<>|]*")),
    ("path", re.compile(r"(?<=[\"'`])(?:file://)?~?/[^\"'`\n]+(?=[\"'`])")),
    ("path", re.compile(rf"(?:file://)?{_HOME.pattern}(?:[/\\][^\s\"':,;()<>|]*)*")),
    ("path", re.compile(r"(?<![\w.~:/<>*${}\]\)-])(?:file://)?~?/(?![\s/])[^\s\"'`:,;()<>|]+")),
    ("path", re.compile(r"(?<=[=:@])(?:file://)?~?/(?!/)[^\s\"'`:,;()<>|]+/[^\s\"'`:,;()<>|]+")),
    ("path", re.compile(r"(?<!\w)[A-Za-z]:\\[^\s\"':,;()<>|]+")),
    ("path", re.compile(r"(?<![\w\\])\\\\[^\s\"':,;()<>|]+")),
)


@dataclass
class Stripped:
    """The copy of a result file, and what was removed: how often by (place, kind)."""

    text: str = ""
    removed: Counter[tuple[str, str]] = field(default_factory=Counter)


def strip(content: bytes, names: Iterable[tuple[str, str]] = ()) -> Stripped:
    """Return a copy of a result file without what identifies a person or a device.

    ``names`` are pairs of a kind and a name, as ``of_this_machine`` returns them; the file's own
    home folders and host name are added. Raises ``FieldError`` for a file that is not a result or
    contradicts itself, and if the results in the copy would differ.
    """
    before = parse.parse(content, "")
    if not before or isinstance(before, Unfinished):
        raise FieldError("it contains no measurement and no verdict")
    if isinstance(before, VersionSet) and before.distrusted:
        raise FieldError(f"it contradicts itself: {before.distrusted}")
    document = json.loads(content.decode("utf-8-sig"))
    known = [*names, *_in_the_file(document, 0)]
    stripped = Stripped()
    copy = _walk(document, "", _patterns(known), stripped, 0)
    stripped.text = json.dumps(copy, indent=1, allow_nan=False) + "\n"
    if _facts(parse.parse(stripped.text.encode(), "")) != _facts(before):
        places = ", ".join(f"{place}: {kind}" for place, kind in list(stripped.removed)[:3])
        raise FieldError(f"removing what is private would change its results ({places})")
    return stripped


def of_this_machine() -> list[tuple[str, str]]:
    """Return the names of this machine and of its user, as pairs of a kind and a name."""
    names = [("host name", socket.gethostname()), ("host name", platform.node())]
    # Windows has no pwd; in a container the user may be a number without a name or a home.
    with contextlib.suppress(ImportError, KeyError, OSError):
        user = getpass.getuser()
        names.append(("user name", user))
        import pwd

        # On a Mac this is the full name.
        names.append(("full name", pwd.getpwnam(user).pw_gecos.partition(",")[0]))
    with contextlib.suppress(RuntimeError):
        names.append(("user name", Path.home().name))
    return names


def _in_the_file(value: object, depth: int, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names of machine and user that the file contains: host name, home folders."""
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
        # One host may be called "jane-mini", "jane-mini.local" and "jane-mini.fritz.box".
        for form in (name, name.partition(".")[0] if kind == "host name" else name):
            word = form.strip().lower()
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
        return None  # not JSON; where the reader looks, it would have refused the file
    return value


def _clean(
    text: str, place: str, names: list[tuple[str, re.Pattern[str]]], stripped: Stripped
) -> str:
    for kind, pattern in (*_KINDS, *names):
        text, times = pattern.subn(f"[{kind}]", text)
        if times:
            stripped.removed[place, kind] += times
    if not (_VERSIONS.search(place) and _IPV4.fullmatch(text)):
        text, times = _IPV4.subn("[network address]", text)
        if times:
            stripped.removed[place, "network address"] += times
    return text


def _facts(result: object) -> object:
    """Return what must be the same before and after: everything but the free text."""
    if isinstance(result, VersionSet):
        facts = {name: value for name, value in vars(result).items() if name not in _FREE}
        bugs = [(bug.id, bug.verdict, len(bug.tests)) for bug in result.bugs]
        return {
            **facts,
            "bugs": bugs,
            "not_installable": result.not_installable is None,
            "other_failures": [(one.test, one.outcome) for one in result.other_failures],
            "selection": (result.selection.deselected, result.selection.partial),
        }
    if isinstance(result, SmokeSet):
        facts = {name: value for name, value in vars(result).items() if name not in _FREE}
        stages = [(stage.name, stage.status) for stage in result.stages]
        return {**facts, "stages": stages, "not_installable": result.not_installable is None}
    if isinstance(result, tuple):
        return [_facts(one) for one in result]
    if isinstance(result, (Measurement, LargestBatch)):
        return {name: value for name, value in vars(result).items() if name not in _FREE}
    return result
