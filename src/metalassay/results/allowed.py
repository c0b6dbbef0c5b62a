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
from collections.abc import Callable, Iterator
from importlib import resources

from metalassay import bugs

Kind = Callable[[str], str | None]

CUT = "\N{HORIZONTAL ELLIPSIS}"
"""Stands where words were removed."""

_DATA = resources.files("metalassay.results") / "data"
_PUNCTUATION = "()[]{}<>\"'`*.,;!?=^\N{HORIZONTAL ELLIPSIS}"
_NUMBER = re.compile(
    r"[-+~<>=\u00b1\u2212]{0,2}(?:\d{1,7}|\d{1,3}(?:,\d{3})+)(?:\.\d{1,6})?(?:e[-+]?\d{1,3})?"
    r"(?:%|x|s|ms|us|ns|kb|mb|gb|tb|kib|mib|gib|w|j|mj|b)?",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"v?\d{1,5}(?:\.\d{1,6}){0,2}(?:(?:a|b|rc|c)\d{1,3})?(?:\.post\d{1,3})?(?:\.dev\d{1,8})?"
    r"(?:\+(?:cpu|cu\d{2,3}|rocm\d(?:\.\d){0,2}|xpu|mps|git[0-9a-f]{7,12}|g[0-9a-f]{7,12})?)?"
)
# NVIDIA's packages have four numbers or five, as network addresses have; theirs never begin like a private one.
_LONG_VERSION = re.compile(r"(?!10\.[0-2]\.|127\.|169\.|172\.|192\.)\d{1,2}(?:\.\d{1,4}){3,4}")
_CALENDAR_VERSION = re.compile(r"20\d\d(?:\.\d{1,2}){2}(?:\.post\d)?")
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
_FROZEN = re.compile(r"<frozen [a-z_.]{1,40}>")
_TRACE_LINE = re.compile(r'\s*File "([^"]+)", line (\d{1,6}), in (\S+)\s*')
_FUNCTION = re.compile(r"<?\w{1,80}>?")
_SHORT_FRAME = re.compile(r"(.+):(\d{1,6}) (\S+)")
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
    return frozenset(_lines("packages.txt"))


@functools.cache
def _modules() -> frozenset[str]:
    """Return the folders and modules that those packages, and Python, install."""
    known = {package.replace("-", "_").lower() for package in packages()}
    return frozenset(known | {"_pytest", "yaml", "dateutil", "huggingface_hub"})


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


def prose(text: str, names: frozenset[str] = frozenset()) -> str:
    """Return the text with every word that is not ours replaced by a sign; ``names`` are removed in any case."""
    if text in sentences():
        return text
    return "\n".join(_prose_line(line, names) for line in text.splitlines())


def _prose_line(line: str, names: frozenset[str]) -> str:
    kept: list[str] = []
    pieces = re.split(r"(\s+)", f" {line}".rstrip())
    for gap, token in zip(pieces[1::2], pieces[2::2], strict=False):
        if not _allowed(token, names):
            token = CUT
        if token == CUT and kept and kept[-1].endswith(CUT):
            continue
        kept.append(f"{gap if set(gap) <= {' '} else ' '}{token}")
    return "".join(kept)[1:]


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
    if _NUMBER.fullmatch(core) or _VERSION.fullmatch(core) or requirement(core) is not None:
        return True
    if path(core) == core:
        return True
    if _GROUPS.search(core):
        return False
    if _DOMAIN.search(core) and not core.endswith((".py", ".pt")):
        return False
    parts = _WORD_SPLIT.split(core)
    return all(
        (part.lower() in words() and part.lower() not in names) or re.fullmatch(r"\d{1,4}", part)
        for part in parts
    ) and bool(re.search(r"[A-Za-z]", core))


def one_of(*allowed: str) -> Kind:
    """Return the kind of a text that is one of ``allowed``."""
    return lambda text: text if text in allowed else None


def form(pattern: str) -> Kind:
    """Return the kind of a text that has the form ``pattern``."""
    compiled = re.compile(pattern)
    return lambda text: text if compiled.fullmatch(text) else None


def version(text: str) -> str | None:
    """Keep a version of a package or of a system, of at most three numbers."""
    return text if _VERSION.fullmatch(text) or _CALENDAR_VERSION.fullmatch(text) else None


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
    long = found[1].startswith(("nvidia-", "cuda-"))
    specifiers = filter(None, found[3].split(","))
    return text if all(_is_specifier(one, long=long) for one in specifiers) else None


def _is_specifier(text: str, *, long: bool = False) -> bool:
    wanted = _SPECIFIER.fullmatch(text)
    if wanted is None:
        return False
    number = wanted[1].removesuffix(".*")
    return version(number) is not None or (long and _LONG_VERSION.fullmatch(number) is not None)


def path(text: str) -> str | None:
    """Keep the path of a file within a public package or our suite, without the folders that lead there."""
    if _FROZEN.fullmatch(text):
        return text
    if suite := _SUITE_PATH.fullmatch(text):
        return f"{suite[1]}.py" if all(map(_known_name, suite[1].split("/"))) else None
    found = _FRAME_PATH.fullmatch(text)
    return f"{found[1]}{found[2]}" if found and _public(found[2], found[1]) else None


def frame(text: str) -> str | None:
    """Keep where an error was raised, if that is in a public package: ``trl/import_utils.py:135 f``."""
    found = _SHORT_FRAME.fullmatch(text)
    if found is None or not _FUNCTION.fullmatch(found[3]):
        return None
    if _FROZEN.fullmatch(found[1]):
        return text
    short = _SHORT_PATH.fullmatch(found[1])
    return text if short and _public(short[2], short[1]) else None


def _public(place: str, folder: str) -> bool:
    """Whether a path begins with a module of Python in its own folder, or else of a package."""
    top = place.split("/")[0].removesuffix(".py").lower()
    return top in (sys.stdlib_module_names if "3." in folder else _modules())


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
            known = place is not None and _FUNCTION.fullmatch(found[3])
            kept.append(
                f'  File "{place}", line {found[2]}, in {found[3]}' if known else f"  {CUT}"
            )
            code = True
        elif (code or not kept) and line.startswith("    "):
            continue
        else:
            kept.append(prose(line, names))
            code = False
    return "\n".join(one for at, one in enumerate(kept) if at == 0 or one != kept[at - 1])


_CHIP_WORDS = frozenset(
    """
    apple intel(r) intel xeon(r) xeon core(tm) core cpu processor @ amd epyc ryzen threadripper pro max ultra
    gold silver platinum bronze genuine virtual (virtual) virtualapple with radeon radeon(tm) graphics vega nvidia
    geforce rtx gtx tesla quadro ti super iris(r) iris plus uhd hd arc(tm) arm cortex neoverse ampere altra
    graviton qualcomm snapdragon(r) snapdragon x elite + , and 0 @2 ghz xe vii xt
    """.split()  # noqa: SIM905
)
_CHIP_MODEL = re.compile(
    r"M\d(?:\s|$)|(?:i[3579]-)?[A-Za-z]{0,3}\d{1,5}[A-Za-z]{0,2}\d{0,2}|E\d-\d{4}[A-Z]{0,2}|v\d|\d{1,3}-Core|\d\.\d{1,2}GHz"
    r"|\d{1,3}GB|(?:Cortex|Neoverse)-[A-Z]\d{1,3}[A-Z]{0,2}|A100-\w{3,4}(?:-\d+GB)?",
)


def chip(text: str) -> str | None:
    """Keep the name of a processor or a GPU: its maker's words and a model."""
    tokens = text.replace(",", " , ").split()
    first = tokens[0].lower() if tokens else ""
    makers = (
        "apple",
        "intel(r)",
        "intel",
        "amd",
        "nvidia",
        "virtualapple",
        "arm",
        "ampere",
        "qualcomm",
        "radeon",
    )
    if not first.startswith(makers) or first not in _CHIP_WORDS or len(tokens) > 12:
        return None
    known = all(token.lower() in _CHIP_WORDS or _CHIP_MODEL.fullmatch(token) for token in tokens)
    return text if known else None


_RELEASE_WORDS = re.compile(
    r"(?:v?\d{1,6}|rc\d|fc\d*|el\d+(?:_\d+)?|amzn\d*|deb\d+(?:u\d)?|generic|azure|aws|gcp|gke|oracle|kvm|cloud|lowlatency|rt\d*"
    r"|microsoft|standard|WSL2|amd64|arm64|x86|64|aarch64|arch\d*|lts|zen|pve|linuxkit|orbstack|raspi|rpi|tegra|hwe|uek|cip|default)"
)


def release(text: str) -> str | None:
    """Keep the version of macOS or of a kernel, without what somebody added to its name."""
    if re.fullmatch(r"(?:macOS|Darwin) \d{1,2}(?:\.\d{1,3}){0,2}|unknown", text):
        return text
    found = re.fullmatch(r"(\d{1,2}(?:\.\d{1,4}){1,2})((?:[-+_.].*)?)", text)
    windows = re.fullmatch(r"1[01]|Server20\d\d", text)
    if windows:
        return text
    if found is None:
        found = re.fullmatch(r"(\d{1,2}\.\d{1,3}\.\d{1,3}\.\d)(-microsoft-.*)", text)
    if found is None or re.match(r"\.\d+$", found[2]):
        return None
    kept = found[1]
    for piece in re.findall(r"[-+_.][^-+_.]*", found[2]):
        if not _RELEASE_WORDS.fullmatch(piece[1:]):
            break
        kept += piece
    return kept


def _row_words(text: str) -> bool:
    """Whether a text consists of words of ours, packages and versions, joined by hyphens."""
    return all(
        part.lower() in words()
        or re.fullmatch(r"\d{1,4}(?:\.\d{1,4}){0,2}(?:rc\d|\.post\d)?", part)
        for part in text.split("-")
    )


def row(text: str) -> str | None:
    """Keep the name of a row of the matrix, such as ``edge-trl-0.16.0``."""
    return text if re.fullmatch(r"[a-z][a-z0-9.-]{0,80}", text) and _row_words(text) else None


def bug_id(text: str) -> str | None:
    """Keep the id of a bug."""
    return text if re.fullmatch(r"[a-z][a-z0-9-]{0,80}", text) and _row_words(text) else None


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
    return (
        text
        if all(not one or one in words() or re.fullmatch(r"b?\d{1,6}", one) for one in pieces)
        else None
    )


def parameters(text: str) -> str:
    """Return the parameters of a test, in brackets, without what is not ours."""
    inner = text[1:-1]
    if re.fullmatch(r"(?:[a-z]+-)+b\d{1,5}-(?:train|infer)-(?:float32|float16|bfloat16)", inner):
        return text if _row_words(inner.partition("-b")[0]) else f"[{CUT}]"
    return f"[{'-'.join(_prose_line(part, frozenset()) for part in inner.split('-'))}]"


def _known_name(name: str) -> bool:
    return all(
        not part or part in words() or re.fullmatch(r"\d{1,3}", part) for part in name.split("_")
    )


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
    return row(text)
