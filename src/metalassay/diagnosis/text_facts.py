"""What a text itself says about the environment that it comes from: versions, system, device, dtype.

These are statements, so they win over the versions that happen to be installed where the text is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import Version

_NUMBER = r"(?P<version>\d+(?:\.\d+){1,3}(?:(?:rc|a|b|\.?dev|\.?post)\d{1,8})?)"
_NAMES = (
    "accelerate|bitsandbytes|datasets|deepspeed|diffusers|huggingface[-_]hub|lightning|numpy|optimum|peft"
    "|pytorch[-_]lightning|python|pytorch|safetensors|scipy|sentence[-_]transformers|setuptools|tokenizers"
    "|torch|torchaudio|torchdata|torchvision|transformers|triton|trl|vllm|xformers"
)
_BEGIN = r"^[ \t*-]{0,8}(?:\[(?:pip3?|conda)\][ \t]+)?"
# Reports of an environment and lists of packages, each alone on its line; prose is no statement.
_STATED = (
    re.compile(
        rf"{_BEGIN}`{{0,2}}(?P<name>{_NAMES})`?(?: version)?(?: \([^()\n]{{0,30}}\))? ?"
        rf"(?:==?|:|@|--?)[ \t]*v?{_NUMBER}(?![\w.]*\w)",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(
        rf"{_BEGIN}(?P<name>{_NAMES})[ \t]+v?{_NUMBER}(?:\+\w+)?(?=[ \t]*$|[ \t]{(2,)})",
        re.IGNORECASE | re.MULTILINE,
    ),
    re.compile(rf"[\\/](?P<name>{_NAMES})-{_NUMBER}(?:\+\w+)?\.(?:dist|egg)-info", re.IGNORECASE),
)
_INSTALLED = re.compile(r"^Successfully installed (?P<list>.{1,3900})$", re.MULTILINE)
_INSTALLED_ONE = re.compile(rf"(?:^|\s)(?P<name>[\w.-]{{1,60}}?)-{_NUMBER}(?=\s|$)")
_PYTHON_FOLDER = re.compile(r"[\\/]python(?P<version>3\.\d{1,2})[\\/]")
_MACOS = re.compile(
    r"(?:\bmac ?OS(?: version)?(?:[ -]|: ?)(?:(?:Monterey|Ventura|Sonoma|Sequoia|Tahoe|Version) ){0,2}"
    r"|^ProductVersion:\s+)(?P<version>\d{2}(?:\.\d{1,2}){0,2})(?![\d.]*[\d+])"
    r"(?!,? (?:or|and) (?:above|higher|later|newer|older|up))",
    re.IGNORECASE | re.MULTILINE,
)
# What a message demands is not what the machine has.
_DEMANDED = re.compile(
    r"\b(?:added|after|available|before|below|from|introduced|least|prior|update|upgrade"
    r"|needs?|older|only|requires?|required|since|supported|than|until)\b"
    r"[^.\n]{0,60}$",
    re.IGNORECASE,
)
_DEVICES = (
    (
        "mps",
        re.compile(r"\bMPS\w*|[\"'(:= ]mps(?![\w.])|/ATen/native/mps/|\bmetal\b", re.IGNORECASE),
    ),
    (
        "cuda",
        re.compile(
            r"\bCUDA (?:error|out of memory|kernel)|[\"']cuda(?::\d+)?[\"']|\btorch\.cuda\.\w+Error"
        ),
    ),
    ("cpu", re.compile(r"[\"'(]cpu[\"')]|\bCPU(?:Float|Long|Half|BFloat16)Type\b|\bon CPU\b")),
)
_DTYPE = re.compile(
    r"\b(bfloat16|float16|float32|float64|float8_\w{2,12}|int64|int32|int8|uint8|complex64|complex128)\b"
    r"|['\"](BFloat16|Half|Double|Float8_\w{2,12}|ComplexFloat|ComplexDouble|Byte|Char|Short|Int|Long|Bool)['\"]"
    r"|\b(fp16|bf16)\b",
    re.IGNORECASE,
)
_CASED = frozenset({"half", "double", "byte", "char", "short", "int", "long", "bool"})
_MAC = re.compile(
    r"\bMPS (?:autocast|backend|device|framework|tensor)|\bMPS(?:Graph|NDArray|\w*Type\b)"
    r"|[\"'( ]/Users/\w|/opt/homebrew/|/ATen/native/mps/|-macosx_|_mps[\"']",
    re.IGNORECASE,
)
_COMMIT = re.compile(r"commit hash (?P<commit>[0-9a-f]{7,40})\b")


@dataclass(frozen=True)
class Facts:
    """What a text says; ``versions`` by package as ``installed`` has them, None where it says nothing.

    ``mac``: it was printed on a Mac.
    """

    versions: Mapping[str, str]
    device: str | None
    dtype: str | None
    commit: str | None
    mac: bool = False


def read(text: str, message: str) -> Facts:
    """Read the facts of a cleaned text; device and dtype from ``message``, the exception's."""
    device = next((name for name, words in _DEVICES if words.search(message)), None)
    dtype = _DTYPE.search(message)
    commit = _COMMIT.search(text)
    versions = dict(_versions(text))
    return Facts(
        versions=versions,
        device=device,
        dtype=next(filter(None, dtype.groups())) if dtype else None,
        commit=commit["commit"] if commit else None,
        mac="macos" in versions or device == "mps" or bool(_MAC.search(text)),
    )


def _versions(text: str) -> Iterator[tuple[str, str]]:
    """Yield packages and versions, a more reliable statement after a less reliable one."""
    if folder := _PYTHON_FOLDER.search(text):
        yield "python", folder["version"]
    for macos in _MACOS.finditer(text):
        begin = max(text.rfind("\n", 0, macos.start()) + 1, macos.start() - 80)
        if not _DEMANDED.search(text[begin : macos.start()]):
            yield "macos", macos["version"]
            break
    for pattern in _STATED:
        for match in pattern.finditer(text):
            yield from _one(match["name"], match["version"])
    for line in _INSTALLED.finditer(text):
        for match in _INSTALLED_ONE.finditer(line["list"]):
            yield from _one(match["name"], match["version"])


def _one(name: str, version: str) -> Iterator[tuple[str, str]]:
    try:
        Version(version)
    except ValueError:
        return
    package = canonicalize_name(name)
    yield {"pytorch": "torch"}.get(package, package), version


def merge(
    facts: Facts, installed: Mapping[str, str], given: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the versions to judge by, and what to tell about where they come from.

    ``given``: the user named ``installed``, by an option; then it wins, and a contradiction is told.
    Otherwise it is what this interpreter has, and a text that contradicts it comes from another
    environment, about which it says nothing.
    """
    differ = {
        package: version
        for package, version in facts.versions.items()
        if package in installed and not _agree(version, installed[package])
    }
    said = ", ".join(f"{package} {version}" for package, version in facts.versions.items())
    here = ", ".join(f"{package} {installed[package]}" for package in differ)
    if differ and not given:
        return dict(facts.versions), (
            f"the text comes from an environment with {said}, not from this one ({here}): what is "
            "installed here is left aside",
        )
    if facts.mac and "macos" not in installed and not given:
        return dict(facts.versions), (
            "the text comes from a Mac, which this computer is not: what is installed here is left "
            f"aside{f'; read in the text: {said}' if said else ''}",
        )
    notes = [
        f"the text says {package} {version}; {installed[package]} was given and is used"
        for package, version in differ.items()
    ]
    new = facts.versions.keys() - installed.keys()
    if new - {"python"}:  # every traceback names Python's, and it decides next to nothing
        read_ = ", ".join(f"{name} {facts.versions[name]}" for name in sorted(new))
        notes.append(f"read in the text: {read_}")
    return {**facts.versions, **installed}, tuple(notes)


def _agree(said: str, have: str) -> bool:
    """Return whether two versions are the same as far as both are given."""
    try:
        one, other = Version(said).release, Version(have).release
    except ValueError:
        return False
    return all(a == b for a, b in zip(one, other, strict=False))
