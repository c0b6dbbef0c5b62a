"""What a text of a result file may contain so that it can be published: each kind, and the words it may use.

A kind is a function from a text to what may be kept of it, or None. ``Prose`` keeps, word by word, what is in
metalassay's own vocabulary: the catalogue of bugs, and ``data/words.txt``. So a sentence of ours stays whole,
and a name, a path, an address or a token within an error message cannot pass, whatever its form. Which field
has which kind is said in ``submit_schema``.
"""

from __future__ import annotations

import builtins
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import resources

from metalassay import bugs
from metalassay.machine import chips

Kind = Callable[[str], str | None]

CUT = "\N{HORIZONTAL ELLIPSIS}"
"""Stands where words were removed."""

_DATA = resources.files("metalassay.results") / "data"
_PUNCTUATION = "()[]{}<>\"'`*.,;!?=^\N{HORIZONTAL ELLIPSIS}"
# A count, a size or a share: few digits, as an address, a telephone number or a serial number does not have.
_NUMBER = re.compile(
    r"(?:[-~<>=\u00b1\u2212]{0,2}|[+](?=\d{1,4}(?!\d)))(?:\d{1,6}|\d{1,3}(?:,\d{3}){1,2})(?:\.\d{1,6})?(?:e[-+]?\d{1,3})?"
    r"(?:%|x|s|ms|us|ns|kb|mb|gb|tb|kib|mib|gib|w|j|mj|b)?",
    re.IGNORECASE,
)
_DIGITS = 9
"""The most digits of a number in a sentence."""
_VERSION = re.compile(
    r"v?(?:\d{1,2}(?:\.\d{1,3}){0,2}|(?:1\d\d|20\d\d)(?:\.\d{1,2}){0,2})"
    r"(?:(?:a|b|rc|c)\d{1,2})?(?:\.post\d)?(?:\.dev(?:\d{1,3}|20\d\d(?:0[1-9]|1[0-2])[0-3]\d))?"
    r"(?:\+(?:cpu|cu\d{2,3}|rocm\d(?:\.\d){0,2}|xpu|mps|git[0-9a-f]{7,12})?)?"
)
_SPECIFIER = re.compile(r"(?:==|>=|<=|~=|!=|<|>) ?([^,;]+)")
_SPECIFIERS = re.compile(r"[=<>~!][^\s]{1,60}")
_REQUIREMENT = re.compile(
    r"([A-Za-z][A-Za-z0-9_.-]*)(?:\[([a-z0-9_,-]+)\])?((?:[=<>~!]=?=?[^\s,;]+,?)*)"
)
# A frame is within a package that everybody can download, or in our suite; the folders before that are left out.
_FRAME_PATH = re.compile(
    r"(?:\S*[/\\])?(site-packages/|python3\.\d{1,2}/|src/(?=metalassay/))((?:[A-Za-z_]\w{0,60}/)*[A-Za-z_]\w{0,60}\.py)"
)
_SUITE_PATH = re.compile(
    r"(?:\S*/)?((?:compat|benchmarks)/(?:[a-z_]+/)*(?:test_\w{1,80}|conftest))\.py"
)
# As the smoke test writes them: without "site-packages/", and with "3.11/" for the standard library.
_SHORT_PATH = re.compile(r"(3\.\d{1,2}/|)((?:[A-Za-z_]\w{0,60}/)*[A-Za-z_]\w{0,60}\.py)")
_FROZEN = re.compile(r"<frozen ([a-z_.]{1,40})>")
_FROZEN_MODULES = frozenset(
    (
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "zipimport",
        "runpy",
        "os",
        "codecs",
        "abc",
        "site",
    )
)
_TRACE_LINE = re.compile(r'\s*File "([^"]+)", line (\d{1,5}), in (\S+)\s*')
_FUNCTION = re.compile(r"\w{1,80}")
_SCOPE = re.compile(r"<(?:module|lambda|listcomp|genexpr|dictcomp|setcomp)>")
_SHORT_FRAME = re.compile(r"(.+):(\d{1,5}) (\S+)")
_WORD_SPLIT = re.compile(r"[-_./=:+]|(?<=\w)'(?=\w)")
_GROUPS = re.compile(r"[0-9a-f]+(?:[.:-][0-9a-f]+){3}", re.IGNORECASE)  # as in "port=10.1.2.3"
_DOMAIN = re.compile(
    r"\.(?:local|localdomain|lan|home|internal|intranet|box|corp|com|net|org|dev|io|edu|gov|ai|at|ch|cn|co|de|es|eu|fr|jp|me|nl|uk|us)$",
    re.IGNORECASE,
)


@functools.cache
def words() -> frozenset[str]:
    """Return the words that metalassay itself uses, in lower case."""
    found = set(_lines("words.txt")) | {package.lower() for package in packages()}
    found |= {name.lower() for name in dir(builtins)} | set(sys.stdlib_module_names)
    for bug in bugs.load():
        texts = [bug.id, bug.title, bug.entry, bug.where_text(), *bug.advice(), *bug.masked_by]
        for symptom in bug.symptoms:
            texts += [symptom.id, symptom.raises, *(re.split(r"[|()?+*]", symptom.match))]
            texts += symptom.seen
        found.update(_words_of(" ".join(texts).replace("\\", "")))
    return frozenset(found) - {"home", "host", "localhost", "user", "users", "private"}


@functools.cache
def sentences() -> frozenset[str]:
    """Return what the catalogue of bugs says, which verdict files repeat."""
    every = bugs.load()
    return frozenset(text for bug in every for text in (bug.title, bug.where_text(), *bug.advice()))


@functools.cache
def packages() -> frozenset[str]:
    """Return the packages of which a name may be published, as on the package index."""
    return frozenset(name for name in _lines("packages.txt") if "==" not in name)


@functools.cache
def _long_versions() -> frozenset[str]:
    """Return requirements with four numbers or five, which have the form of an address."""
    return frozenset(name for name in _lines("packages.txt") if "==" in name)


@functools.cache
def _rows() -> frozenset[str]:
    return frozenset(_lines("rows.txt"))


@functools.cache
def _modules() -> Mapping[str, frozenset[str]]:
    """Return by package the parts that the names of its modules consist of."""
    found: dict[str, frozenset[str]] = {}
    for line in (_DATA / "modules.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            package, _, parts = line.partition(": ")
            found[package] = frozenset(parts.split())
    return found


def _lines(name: str) -> Iterator[str]:
    for line in (_DATA / name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield from line.split()


def _words_of(text: str) -> Iterator[str]:
    for token in text.split():
        if any(sign in token for sign in ("@", "://", "~")) or token.startswith("/"):
            continue
        yield from (
            part.lower()
            for part in _WORD_SPLIT.split(token.strip(_PUNCTUATION).rstrip(":"))
            if part
        )


@functools.lru_cache(4096)
def prose(text: str, names: frozenset[str] = frozenset()) -> str:
    """Return the text with every word that is not ours replaced by a sign; ``names`` are removed in any case."""
    if text in sentences():
        return text
    return "\n".join(_prose_line(line, names) for line in text.splitlines())


def _prose_line(line: str, names: frozenset[str]) -> str:
    kept: list[str] = []
    pieces = re.split(r"(\s+)", f" {line}".rstrip())
    tokens = [_shortened(token) for token in pieces[2::2]]
    spread = _spread(tokens)
    for at, (gap, token) in enumerate(zip(pieces[1::2], tokens, strict=False)):
        if at in spread or not _allowed(token, names):
            token = CUT
        if token == CUT and kept and kept[-1].endswith(CUT):
            continue
        kept.append(f"{gap if set(gap) <= {' '} else ' '}{token}")
    return "".join(kept)[1:]


def _shortened(token: str) -> str:
    """Return a path in a public package without the folders that lead there; any other token as it is."""
    if ".py" not in token or len(token) > 1000:
        return token
    core = token.strip(_PUNCTUATION).rstrip(":")
    place = path(core)
    return token if not core or place is None else token.replace(core, place, 1)


_TAIL = re.compile(
    r"(?:^|[^A-Za-z0-9])[\d.,:/_+()-]*\d[\d.,:/_+()-]*$"
)  # a number that is not part of a word


def _spread(tokens: list[str]) -> set[int]:
    """Return which tokens may be a number, or letters, that somebody wrote in groups.

    Those are numbers with nothing but space between them, more than one number of three digits or more
    in an enumeration of three or more, and three single letters.
    """
    found: set[int] = set()
    run: list[int] = []
    letters: list[int] = []
    for at, token in enumerate([*tokens, ""]):
        core = token.strip(_PUNCTUATION + ":;+-/|_\u2013")
        tail = _TAIL.search(core[-40:])
        if tail:
            apart = not run or tokens[run[-1]][-1] in ",;]}=:" or token[0] in "=<>~!([{"
            if not apart and core[:1].isdecimal():
                found |= {run[-1], at}
            elif not core[:1].isdecimal():
                run = []  # a word before the number begins another one
            run.append(at)
        if not tail or at == len(tokens) - 1:
            large = [one for one in run if len(re.findall(r"\d", tokens[one])) > 2]
            if len(run) > 2 and len(large) > 1:
                found.update(run)
        if not tail:
            run = []
        if len(core) == 1 and core.isalpha():
            letters.append(at)
        else:
            if len(letters) > 2:
                found.update(letters)
            letters = []
    return found


@functools.lru_cache(65536)
def _allowed(token: str, names: frozenset[str]) -> bool:
    if _SPECIFIERS.fullmatch(token) and all(map(_is_specifier, token.rstrip("').").split(","))):
        return True
    core = token.strip(_PUNCTUATION).rstrip(":").strip(_PUNCTUATION)
    if (
        len(core) > 120
        or not token.isprintable()
        or core.lower() in names
        or re.fullmatch(r"[B-Z]", core)
    ):
        return False  # a single capital is an initial
    return not core or _plain(core, names)


def _plain(core: str, names: frozenset[str]) -> bool:
    if core.lower() in words() and core.lower() not in names:
        return True
    if not re.search(r"\w", core):
        return len(core) <= 3
    if _VERSION.fullmatch(core) or requirement(core) is not None or core in _rows():
        return True
    if _NUMBER.fullmatch(core):
        return sum(map(str.isdecimal, core)) <= _DIGITS
    if core.endswith((".py", ">")) and path(core) == core:
        return True
    if _GROUPS.search(core) and core.lower() not in _bug_ids():
        return False
    if _DOMAIN.search(core) and not core.endswith((".py", ".pt")):
        return False
    parts = _WORD_SPLIT.split(core)
    return (
        all(
            (part.lower() in words() and part.lower() not in names)
            or re.fullmatch(r"\d{1,5}", part)
            for part in parts
        )
        and bool(re.search(r"[A-Za-z]", core))
        and (core.lower() in _bug_ids() or _few_digits(parts))
    )


def _few_digits(parts: Iterable[str], most: int = 5) -> bool:
    """Whether the parts of a name have no more numbers than a version and a size, and these few digits."""
    numbers = [part for part in parts if part.isdecimal()]
    return len(numbers) <= 3 and sum(map(len, numbers)) <= most


@functools.cache
def _bug_ids() -> frozenset[str]:
    every = bugs.load()
    return frozenset({bug.id for bug in every} | {one.id for bug in every for one in bug.symptoms})


def one_of(*allowed: str) -> Kind:
    """Return the kind of a text that is one of ``allowed``."""
    return lambda text: text if text in allowed else None


def form(pattern: str) -> Kind:
    """Return the kind of a text that has the form ``pattern``."""
    compiled = re.compile(pattern)
    return lambda text: text if compiled.fullmatch(text) else None


def moment(text: str) -> str | None:
    """Keep a time, in UTC: the offset of a local time tells where somebody is."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        local = datetime.fromisoformat(text)
        if local.tzinfo is None or not local.utcoffset():
            return text
        return local.astimezone(UTC).isoformat(text[10])
    except (ValueError, OverflowError):  # a day that is none, or the first of year 1
        return None


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?")


def setting(text: str) -> str | None:
    """Keep the value of a variable of an allocator: a word of theirs, a share, a count or a round size."""
    if text in ("active", "passive", "ACTIVE", "PASSIVE") or re.fullmatch(r"\d\.\d{1,3}", text):
        return text
    if not re.fullmatch(r"\d{1,13}", text):
        return None
    return text if int(text) < 10_000 or int(text) % 4096 == 0 else None


def version(text: str) -> str | None:
    """Keep a version of a package or of a system, of at most three numbers."""
    return text if _VERSION.fullmatch(text) else None


def installed_version(text: str) -> str | None:
    """Keep the version of a package; of one that somebody built, without what they added behind the plus."""
    if text == "unreadable":  # as ``environment.versions`` says of damaged metadata
        return text
    return version(text) or version(text.partition("+")[0])


def package(text: str) -> str | None:
    """Keep the name of a package that is known to be public."""
    return text if text in packages() else None


def cpu_flag(text: str) -> str | None:
    """Keep the name of a feature of a processor that is known."""
    return text if text in _cpu_flags() else None


@functools.cache
def _cpu_flags() -> frozenset[str]:
    return frozenset(_lines("cpu_flags.txt"))


def requirement(text: str) -> str | None:
    """Keep a requirement on a public package, such as ``torch==2.13.0``."""
    found = _REQUIREMENT.fullmatch(text)
    if found is None or found[1].lower().replace("_", "-") not in packages():
        return None
    if found[2] and not set(re.split(r"[,_-]", found[2])) <= words():
        return None
    if text in _long_versions():
        return text
    specifiers = filter(None, found[3].split(","))
    return text if all(map(_is_specifier, specifiers)) else None


def _is_specifier(text: str) -> bool:
    wanted = _SPECIFIER.fullmatch(text)
    return wanted is not None and version(wanted[1].removesuffix(".*")) is not None


def path(text: str) -> str | None:
    """Keep the path of a file within a public package or our suite, without the folders that lead there."""
    if frozen := _FROZEN.fullmatch(text):
        return text if frozen[1] in _FROZEN_MODULES else None
    if suite := _SUITE_PATH.fullmatch(text):
        return f"{suite[1]}.py" if all(map(_known_name, suite[1].split("/"))) else None
    found = _FRAME_PATH.fullmatch(text)
    return f"{found[1]}{found[2]}" if found and _public(found[2], found[1]) else None


def frame(text: str) -> str | None:
    """Keep where an error was raised, if that is in a public package: ``trl/import_utils.py:135 f``."""
    found = _SHORT_FRAME.fullmatch(text)
    if found is None:
        return None
    short = _SHORT_PATH.fullmatch(found[1])
    known = path(found[1]) == found[1] or (short is not None and _public(short[2], short[1]))
    return f"{found[1]}:{found[2]} {_function(found[3])}" if known else None


def _public(place: str, folder: str) -> bool:
    """Whether a path consists of names of modules of Python in its own folder, or else of one package."""
    top, *rest = place.removesuffix(".py").split("/")
    if "3." in folder:
        nested = _modules()["python"] | sys.stdlib_module_names | {"__init__", "__main__"}
        return top in sys.stdlib_module_names and all(name in nested for name in rest)
    known = words() if top == "metalassay" else _modules().get(top, frozenset())
    return bool(known) and all(_has_parts(name, known) for name in rest)


def _has_parts(name: str, known: frozenset[str]) -> bool:
    return all(not part or part in known for part in name.lower().split("_"))


def _function(name: str) -> str:
    """Return the name of a function if its parts are known, otherwise the sign of what was cut."""
    if _SCOPE.fullmatch(name):
        return name
    known = _modules()["functions"] | words()
    return name if _FUNCTION.fullmatch(name) and _has_parts(name, known) else CUT


@functools.lru_cache(4096)
def evidence(text: str, names: frozenset[str] = frozenset()) -> str:
    """Return of a traceback the frames in public packages and the words of the error that are ours.

    Lines of code are left out: they are whatever somebody wrote.
    """
    lines = text.splitlines()
    if not any(_TRACE_LINE.fullmatch(line) for line in lines):
        return prose(text, names)
    kept: list[str] = []
    code = False  # whether the line before named a frame, whose code follows, indented more
    for line in lines:
        if found := _TRACE_LINE.fullmatch(line):
            place = path(found[1])
            kept.append(
                f"  {CUT}"
                if place is None
                else f'  File "{place}", line {found[2]}, in {_function(found[3])}'
            )
            code = True
        elif (code or not kept) and line.startswith("    "):
            continue
        else:
            kept.append(prose(line, names))
            code = False
    return "\n".join(one for at, one in enumerate(kept) if at == 0 or one != kept[at - 1])


# As the makers publish the names of their products; of each, the number has the digits that they use.
_CHIP_FORMS = re.compile(
    r"Apple [MA][1-9]\d?(?: Pro| Max| Ultra)?(?: \(Virtual\))?|VirtualApple(?: @ \d\.\d\dGHz)?(?: processor)?"
    r"|Intel(?:\(R\))? (?:Core(?:\(TM\))? (?:i[3579]-\d{4,5}[A-Z]{0,2}\d?|m[357]-\d[A-Z]\d\d|Ultra [3579] \d{3}[A-Z]{0,2})"
    r"|Xeon(?:\(R\))?(?: (?:E[357]-\d{4}[A-Z]?(?: v\d)?|(?:W|D|E)-\d{4}[A-Z]?|(?:Gold|Silver|Platinum|Bronze|Max)"
    r"(?: (?:\d{4}[A-Z]{0,2}\+?|P-\d{4}[A-Z]?|\d{2}[A-Z]\d[A-Z]?)?)|\d{4}[A-Z]{0,2})?)?|N\d{2,3})?"
    r"(?: CPU)?(?: (?:E[357]-\d{4}[A-Z]?(?: v\d)?|\d{4}[A-Z]{0,2}))?(?: Processor)?(?: ?@ \d\.\d{1,2}GHz)?"
    r"|Intel(?:\(R\))? (?:HD|UHD|Iris(?:\(R\))?(?: Plus| Pro| Xe)?) Graphics(?: \d{3,4})?"
    r"|AMD EPYC(?: \d[0-9A-Z]\d\d[A-Z]{0,2})?(?: \d{1,3}-Core)?(?: Processor)?"
    r"|AMD Ryzen (?:Threadripper (?:PRO )?\d{4}[A-Z]{0,2}|(?:AI )?[3579](?: PRO)? \d{3,4}[A-Z]{0,3}\d?)"
    r"(?: \d{1,2}-Cores?)?(?: Processor)?(?: with Radeon(?: Vega)? Graphics)?"
    r"|(?:AMD )?Radeon(?:\(TM\))?(?: (?:Pro|RX|R9))?(?: Vega)? (?:\d{2,4}[MX]{0,2}|W\d{4}X?|VII)(?: (?:XTX?|Duo))?"
    r"|(?:NVIDIA )?(?:GeForce )?[RG]TX \d{3,4}(?: Ti)?(?: SUPER)?(?: (?:with Max-Q Design|Laptop GPU))?"
    r"|NVIDIA RTX (?:A?\d{4}|PRO \d{4})(?: Ada Generation| Blackwell)?"
    r"|(?:NVIDIA |Tesla )?(?:GH?[23]00(?: \d{3}GB)?|[ABHLTKPV]\d{1,3}[SX]?(?:-(?:SXM\d|PCIE|PCIe))?(?:-\d{2,3}GB)?)"
    r"(?: (?:PCIe|NVL|80GB HBM3|HBM3))?"
    r"|(?:ARM )?(?:Cortex-[AX]\d{1,3}[A-Z]{0,2}|Neoverse-[NVE]\d)|Ampere Altra(?: Max)?"
)
_CHIPS = 3
"""The most GPUs that one field names."""


def chip(text: str) -> str | None:
    """Keep the name of a processor or of GPUs, in a form in which its maker publishes names."""
    if len(text) > 200:
        return None
    each = text.split(", ")
    known = {one.name for one in chips.load()}
    if len(each) <= _CHIPS and all(one in known or _CHIP_FORMS.fullmatch(one) for one in each):
        return text
    return None


_RELEASE_WORDS = re.compile(
    r"(?:v?\d{1,4}|rc\d|fc\d{0,2}|el\d{1,2}(?:_\d{1,2})?|amzn\d{0,4}|deb\d{1,2}(?:u\d)?|generic|azure|aws|gcp|gke|oracle|kvm|cloud|lowlatency|rt\d{0,3}"
    r"|microsoft|standard|WSL2|amd64|arm64|x86|64|aarch64|arch\d?|lts|zen|pve|linuxkit|orbstack|raspi|rpi|tegra|hwe|uek|cip|default)"
)


_RELEASE_DIGITS = 10  # as in -503.11.1.el9_5.x86_64


def release(text: str) -> str | None:
    """Keep the version of macOS or of a kernel, without what somebody added to its name."""
    if re.fullmatch(r"(?:macOS|Darwin) \d{1,2}(?:\.\d{1,3}){0,2}|unknown", text):
        return text
    found = re.fullmatch(r"(\d{1,2}(?:\.\d{1,3}){1,2})((?:[-+_.].*)?)", text)
    windows = re.fullmatch(r"1[01]|Server20\d\d", text)
    if windows:
        return text
    if found is None or re.match(r"\.\d", found[2]):
        found = re.fullmatch(r"([4-9]\.\d{1,2}\.\d{1,3}\.\d)(-microsoft-.*)", text)
    if found is None or re.match(r"\.\d", found[2]):
        return None
    kept = found[1]
    for piece in re.findall(r"[-+_.][^-+_.]*", found[2]):
        digits = sum(map(str.isdecimal, kept[len(found[1]) :] + piece))
        if not _RELEASE_WORDS.fullmatch(piece[1:]) or digits > _RELEASE_DIGITS:
            break
        kept += piece
    return kept


def row(text: str) -> str | None:
    """Keep the name of a row of the matrix, or of one of the same form, such as ``edge-trl-0.16.0``."""
    if text in _rows():
        return text
    found = _ROW.fullmatch(text)
    pinned = found is not None and found[1] in packages() and version(found[2]) is not None
    return text if pinned else None


_ROW = re.compile(r"(?:(?:boundary|edge|fresh)-)?([a-z]{2,20})-(\d{1,2}(?:\.\d{1,2}){1,2})")


def label(text: str) -> str | None:
    """Keep a tag of a row, which is words of ours without a number."""
    return (
        text
        if len(text) <= 40 and all(one in words() and one.isalpha() for one in text.split("-"))
        else None
    )


def bug_id(text: str) -> str | None:
    """Keep the id of a bug of the catalogue, or words of ours that one may have been called."""
    parts = text.split("-")
    if text in _bug_ids():
        return text
    known = all(one in words() or re.fullmatch(r"\d{1,2}", one) for one in parts)
    return text if len(text) <= 80 and known and _few_digits(parts, 4) else None


def test_id(text: str) -> str | None:
    """Keep the name of a test of the suites; words of its parameters that are not ours are cut."""
    found = re.fullmatch(
        r"((?:(?:compat|benchmarks)/)?(?:[a-z_]+/)*)(test_[a-z0-9_]+)\.py::((?:Test\w+::)?)(test_[a-z0-9_]+)(\[.*\])?",
        text,
    )
    if found is None:
        return None
    if not all(_known_name(part) for part in (*found[1].split("/"), found[2], found[4])):
        return None
    if found[3] and not _known_name(found[3].removesuffix("::").removeprefix("Test").lower()):
        return None
    return f"{text[: len(text) - len(found[5] or '')]}{parameters(found[5]) if found[5] else ''}"


def benchmark_id(text: str) -> str | None:
    """Keep the name of a benchmark with its parameters, which must all be words of ours or numbers."""
    found = re.fullmatch(
        r"(?:(?:benchmarks/)?(test_[a-z_]{1,60})\.py::)?(test_[a-z_]{1,60})(\[[\w-]{1,80}\])?", text
    )
    if found is None or not all(_known_name(name or "") for name in (found[1], found[2])):
        return None
    pieces = (found[3] or "[]")[1:-1].split("-")
    sizes = [one for one in pieces if re.fullmatch(r"b?\d{1,5}", one)]
    others = [one for one in pieces if one and one not in sizes]
    return text if len(sizes) <= 1 and all(one in words() for one in others) else None


def parameters(text: str) -> str:
    """Return the parameters of a test, in brackets, without what is not ours."""
    inner = text[1:-1]
    if re.fullmatch(r"(?:[a-z]+-)+b\d{1,5}-(?:train|infer)-(?:float32|float16|bfloat16)", inner):
        return (
            text if all(one in words() for one in inner.split("-b")[0].split("-")) else f"[{CUT}]"
        )
    if not _few_digits(re.split(r"\D", inner)):
        return f"[{CUT}]"
    return f"[{'-'.join(_prose_line(part, frozenset()) for part in inner.split('-'))}]"


def _known_name(name: str) -> bool:
    parts = name.split("_")
    known = all(not part or part in words() or re.fullmatch(r"\d{1,2}", part) for part in parts)
    return known and _few_digits(parts, 3)


def link(text: str) -> str | None:
    """Keep the link of a bug of the catalogue, or one of the same form to the same projects."""
    if text in {bug.link for bug in bugs.load()}:
        return text
    known = {"/".join(bug.link.split("/")[:5]) for bug in bugs.load()}
    found = re.fullmatch(r"(https://github\.com/[\w-]+/[\w-]+)/(?:pull|issues)/\d{1,6}", text)
    return text if found and found[1] in known else None


def command(text: str) -> str | None:
    """Keep a command that runs a row of the matrix."""
    for pattern in (
        r'nox -s "compat\(([^()"]+)\)"',
        r"metalassay matrix run ([^ ]+)",
        r"pytest compat(?: --verdicts reports/compat/([^ /]+)\.json)?",
    ):
        if found := re.fullmatch(pattern, text):
            return text if found[1] is None or row(found[1]) is not None else None
    return None


def argument(text: str) -> str | None:
    """Keep an argument of pytest that selects tests of the suite by words of ours."""
    if text in ("compat", "--set", "-m", "--slow", "--lf"):
        return text
    if text.startswith("--bug="):
        return text if bug_id(text.removeprefix("--bug=")) else None
    if re.fullmatch(r"(?:(?:not|and|or|slow|mps|long|bug|[()]|) ?)+", text):
        return text
    return row(text) or label(text)


def file_name(stem: str) -> str | None:
    """Keep a name that metalassay or pytest-benchmark gives to a result file, or words of ours."""
    if row(stem) or re.fullmatch(
        r"\d{4}(?:_[0-9a-f]{7,40}_20\d{6}_\d{6}(?:_uncommitted-changes)?)?", stem
    ):
        return stem
    parts = re.split(r"[-_.]", stem)
    known = all(part.lower() in words() or re.fullmatch(r"\d{1,4}", part) for part in parts)
    return stem if known and len(stem) <= 80 and _few_digits(parts, 8) else None
