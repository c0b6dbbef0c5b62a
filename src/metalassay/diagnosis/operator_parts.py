"""What the answers about operators, libraries, backends and dtypes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from metalassay import pep440
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.operator_messages import Mention
from metalassay.mps.operators import history, releases
from metalassay.mps.operators.advice import Advice
from metalassay.mps.probe import os_floors

TRACKER = "https://github.com/pytorch/pytorch/issues/141287"
SETTINGS = "https://docs.pytorch.org/docs/stable/mps_environment_variables.html"
FALLBACK = (
    "PYTORCH_ENABLE_MPS_FALLBACK=1 python train.py: runs it on the CPU, slower. torch reads the"
    " variable while it is imported, so set it before that; in a notebook restart the kernel first"
)
TOO_LATE = "os.environ['PYTORCH_ENABLE_MPS_FALLBACK'] = '1' after torch was imported has no effect"
WHICH_TORCH = 'python -c "import torch; print(torch.__version__, torch.__file__)"'
ELSEWHERE = "the text comes from another environment, or from before a change of versions"
ASK = "specify the environment: --python EXE or --versions torch=VERSION"


@dataclass(frozen=True)
class Answer:
    """A ``Found`` that does not know yet where its words are."""

    id: str
    title: str
    applies: str
    note: str
    cause: str
    do: tuple[str, ...]
    not_help: tuple[str, ...]
    link: str
    sure: str
    generic: bool = False

    def found(self, words: str, position: int) -> Found:
        """Return it with the line of the text and its offset."""
        return Found(source="operator", words=words, position=position, **vars(self))


@dataclass(frozen=True)
class Torch:
    """The torch that a message comes from; ``note`` says how that is known, or what contradicts it.

    ``version`` is None if nothing tells it. ``contradicted``: the wording is not that of ``version``.
    """

    version: str | None
    note: str
    contradicted: bool = False


def torch_of(mention: Mention, installed: Mapping[str, str]) -> Torch:
    """Return the torch of a message: its commit counts more than the installed version."""
    given = pep440.version_of(installed.get("torch"))
    have = str(given) if given else None
    if mention.commit:
        release = releases.of_commit(mention.commit)
        if release is None:
            note = f"its commit {mention.commit[:10]} is not a release's: a nightly or a build of one's own"
            return Torch(have, note)
        note = f"its commit {mention.commit[:10]} is that of torch {release}"
        if given and given.base_version != release:
            note += f", so the text does not come from the torch {have} of this environment"
        return Torch(release, note)
    for words in mention.wordings:
        specifier = releases.wordings()[words]
        note = f"its wording is that of torch {_readable(specifier)}"
        if given is None:
            return Torch(None, note)
        if not specifier.contains(given.base_version):
            return Torch(have, f"{note}, not of {have}", True)
    return Torch(have, "")


def _readable(specifier: SpecifierSet) -> str:
    return ",".join(sorted(map(str, specifier), reverse=True))


def has(version: Version, first: str | None) -> bool:
    """Return whether a torch is of the minor release ``first`` or of a later one."""
    return first is not None and version.release[:2] >= Version(first).release[:2]


def upgrade_to(first: str, macos: str | None, installed: Mapping[str, str]) -> str:
    """Return the command that installs torch ``first`` or newer, and what that needs."""
    floor = os_floors.floor(first)
    needs = [f"macOS {macos}"] if macos else []
    if floor:
        needs.append(f"Python {floor.python}")
    have = installed.get("macos")
    if macos and have and pep440.version_of(have) and Version(have) < Version(macos):
        needs.append(f"this is macOS {have}")
    return f"pip install -U 'torch>={history.minor(first)}'" + (
        f" (needs {' and '.join(needs[:2])}{'; ' + needs[2] if needs[2:] else ''})" if needs else ""
    )


def needed_macos(first: str | None, row: Advice | None) -> str | None:
    """Return the macOS that torch ``first`` and the operators of a row need; None if nothing tells it."""
    floor = os_floors.floor(first)
    needed = [each for each in (floor.needs if floor else None, row.macos if row else None) if each]
    return max(needed, key=Version, default=None) if first else None


def sentences(*parts: str) -> str:
    """Return the sentences that are not empty, one after the other."""
    return " ".join(part for part in parts if part)


def joined(*parts: str) -> str:
    """Return the parts of a sentence that are not empty, with semicolons between them."""
    return "; ".join(part for part in parts if part)
