"""Put what the API history knows about one error into the words of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from packaging.version import Version

from metalassay import pep440
from metalassay.bugs import api_history
from metalassay.bugs.api_history import Environment, Timeline
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import Question

ELSEWHERE = "the text comes from another environment, or from before a change of versions"
KEEP = "or keep the program as it is: "
_REMOTE_CODE = "transformers_modules"  # the folder of code that came with a model
_RELEASE_PAGE = {
    "accelerate": "https://github.com/huggingface/accelerate/releases/tag/v{}",
    "datasets": "https://github.com/huggingface/datasets/releases/tag/{}",
    "peft": "https://github.com/huggingface/peft/releases/tag/v{}",
    "transformers": "https://github.com/huggingface/transformers/releases/tag/v{}",
    "trl": "https://github.com/huggingface/trl/releases/tag/v{}",
}


@dataclass(frozen=True)
class Context:
    """The text, the versions that are installed, and the releases of the history that stand for them."""

    text: str
    installed: Mapping[str, str]
    where: Environment = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, installed: Mapping[str, str]) -> Context:
        """Return the context of a text."""
        return cls(text, installed, api_history.environment(installed))

    def near(self, question: Question) -> str:
        """Return the text before and at an error, where its traceback is."""
        return self.text[max(0, question.position - 16_000) : question.position + 400]

    def index(self, package: str) -> int:
        """Return the release that is installed, or the newest one known."""
        return self.where.get(package, len(api_history.history(package).releases) - 1)


@dataclass(frozen=True)
class Instead:
    """What to write instead, the best first, with the reason and the link of a kept rename.

    ``now`` is the new name, for the title; empty if there is none. ``second``: where the installed
    release is too old, a newer one is the better advice.
    """

    do: tuple[str, ...] = ()
    why: str = ""
    link: str = ""
    now: str = ""
    second: bool = False

    def because(self, why: str) -> Instead:
        """Return it with a reason in front."""
        return replace(self, why=" ".join(filter(None, (why, self.why))))


@dataclass(frozen=True)
class Wording:
    """The sentences about a thing that some releases have and others do not.

    ``lacks`` and ``has`` are about the subject: "takes no 'tokenizer'", "takes 'tokenizer'"; ``had``
    is the same in the past. ``about`` is the subject of ``has``, where it is another.
    """

    subject: str
    lacks: str
    has: str
    had: str = ""
    about: str = ""

    def told(self, fits: Timeline, named: bool) -> str:
        """Say which releases fit."""
        spans = fits.spans()
        past = bool(spans) and spans[-1][1] != fits.releases[-1]
        verb = self.had if past and self.had else self.has
        return f"{self.about or self.subject} {verb} {fits.words(named=named)}"


def reply(
    question: Question,
    context: Context,
    fits: Timeline,
    wording: Wording,
    instead: Instead,
    *,
    id: str,  # noqa: A002  (the field's name)
    alternative: str = KEEP,
    shown: Timeline | None = None,
    generic: bool = False,
) -> Found:
    """Return the answer where the releases in ``fits`` have what the program needs and others do not.

    ``shown`` is the timeline that the sentences are about, if it is not ``fits``. To the changes of
    the code, commands are added that install a release that fits.
    """
    package, version = fits.package, context.installed.get(fits.package)
    state = fits.at(version) if version else None
    shown = shown or fits
    told = wording.told(shown, named=False)
    title = f"{wording.subject} {wording.lacks}"
    since = boundary(fits, version)
    commands = installs(fits, version)
    spans = fits.spans()
    gap = len(spans) > 1 and spans[-1][1] == fits.releases[-1]
    if alternative != KEEP:
        older = None
    elif version:
        older = fits.before(version)
    else:
        older = spans[-2][1] if gap else None
    if commands and older and f"=={older}'" not in commands[0]:
        # Gone in between, and back: the program was most likely written for the older ones.
        commands = (f"pip install '{package}=={older}'", *commands)
    do = _ordered(instead, commands, alternative, fits, version)
    must_be_old = version is None and all(fits.states) and instead.second
    if version is None:
        applies, note = "unknown", f"{package} not found here; {told}"
        if must_be_old:
            do = _upgrades(fits)
    elif too_old(fits, version):
        applies = "unknown"
        note = f"{package} {version} is older than all that was read; {told}"
        do = _upgrades(fits)
    elif state is None:
        applies, note = "unknown", f"{package} {version}: the source does not tell; {told}"
    elif state and question.kind in ("import", "attribute"):
        # pip and Python disagree, or the versions are another machine's: which, the text does not say.
        applies = "unknown"
        note = f"{package} {version} does not raise this: {told}; so Python imports other files, or {ELSEWHERE}"
        do = _other_files(package, version)
    elif state:
        applies, note = "no", f"{package} {version} does not raise this: {told}; {ELSEWHERE}"
        do = (
            f"see what that program runs: python -c 'import {package}; "
            f"print({package}.__version__, {package}.__file__)'",
        )
    else:
        applies, note = "yes", f"{package} {version} is installed; {told}"
    if applies == "yes" and question.frames and _REMOTE_CODE in question.frames[-1].path:
        do = (
            "the line is in the model's own code: omit trust_remote_code=True where transformers has the "
            "model itself, or take the newest revision of the model",
            *do,
        )
    if must_be_old:
        title += f": this {package} must be older than {fits.releases[0]}"
    elif version and state and applies == "unknown":
        title = (
            f"{package} {version} has what is missing: Python imported the files of another release"
        )
    elif version and too_old(fits, version):
        title += f" in {package} {version}, which is too old"
    elif applies == "no":
        title += f" elsewhere, not in {package} {version}"
    elif gap and version is None:
        title += f" after {package} {spans[-2][1]} and before {spans[-1][0]}"
    elif since:
        title += f" {since[0]}"
    else:
        title += (
            f" in {package} {version or ''}".rstrip()
            if fits.ever
            else f" in any release from {fits.releases[0]} to {fits.releases[-1]}"
        )
    told_now = instead.now and not state and not (version and too_old(fits, version))
    return Found(
        source="api",
        id=id,
        title=title + (f": it is {instead.now} now" if told_now else ""),
        applies=applies,
        note=note,
        words=question.words,
        position=question.position,
        cause=f"{wording.told(shown, named=True)}. {instead.why}".strip(),
        do=do,
        not_help=(),
        link=instead.link or page(package, since[1] if since else fits.releases[-1]),
        sure=sure(fits),
        generic=generic,
    )


def _ordered(
    instead: Instead,
    commands: tuple[str, ...],
    alternative: str,
    fits: Timeline,
    version: str | None,
) -> tuple[str, ...]:
    if not instead.do:
        return commands
    if instead.second and version and fits.after(version) and not fits.before(version):
        return (*commands, *(f"or: {each}" for each in instead.do))
    return (*instead.do, *(f"{alternative}{each}" for each in commands))


def too_old(fits: Timeline, version: str) -> bool:
    """Return whether a version is older than all releases read, of which the oldest fits."""
    return (
        fits.states[0] is True
        and pep440.is_version(version)
        and Version(version) < Version(fits.releases[0])
    )


def _upgrades(fits: Timeline) -> tuple[str, ...]:
    """Return what to do where the installed release is older than all that was read."""
    first, last = fits.spans()[0]
    newest = last == fits.releases[-1]
    wanted = f">={first}" if newest else f"=={last}"
    return (
        f"upgrade, in the environment that runs the program: pip install -U '{fits.package}{wanted}'",
        f"see what that program runs: python -c 'import {fits.package}; "
        f"print({fits.package}.__version__, {fits.package}.__file__)'",
    )


def _other_files(package: str, version: str) -> tuple[str, ...]:
    """Return what to do where a name is missing that the installed release has."""
    return (
        "in a notebook, after an upgrade: restart the kernel, which keeps what it had imported",
        f"see what that program runs: python -c 'import {package}; "
        f"print({package}.__version__, {package}.__file__)'",
        f"two installations in one folder: pip uninstall -y {package} until it says that none is left, then "
        f"pip install '{package}=={version}'",
    )


def boundary(fits: Timeline, version: str | None) -> tuple[str, str] | None:
    """Return in words since or before which release the program does not fit, and that release."""
    releases, spans = fits.releases, fits.spans()
    if not spans:
        return None
    last = fits.before(version) if version else spans[-1][1]
    if version and fits.at(version):
        last = spans[-1][1]
    if last and last != releases[-1]:
        index = releases.index(last) + 1
        return (
            (f"since {fits.package} {releases[index]}", releases[index])
            if (fits.states[index] is False)
            else None
        )
    first = (fits.after(version) if version else None) or spans[-1][0]
    index = releases.index(first)
    if index and fits.states[index - 1] is False:
        return f"before {fits.package} {first}", first
    return None


def installs(fits: Timeline, version: str | None) -> tuple[str, ...]:
    """Return the commands that install a release that fits, the newest kind first."""
    spans = fits.spans()
    if not spans or (version and fits.at(version)):
        return ()
    first, last = spans[-1]
    if last == fits.releases[-1]:  # what still fits is the better choice
        return (f"pip install '{fits.package}>={first}'",)
    if version and (newer := fits.after(version)):
        return (f"pip install '{fits.package}=={newer}'",)
    return (f"pip install '{fits.package}=={last}'",)


def page(package: str, version: str) -> str:
    """Return the address of a release's notes."""
    return _RELEASE_PAGE[package].format(version)


def sure(*lines: Timeline) -> str:
    """Say what was read."""
    return "read in the source of " + " and of ".join(
        f"all {len(line.releases)} releases of {line.package}, {line.releases[0]} to {line.releases[-1]}"
        for line in lines
    )


def listed(names: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + f" and {names[-1]}"


def possessive(name: str) -> str:
    """Return a package's name as an owner: trl's, transformers'."""
    return f"{name}'" if name.endswith("s") else f"{name}'s"
