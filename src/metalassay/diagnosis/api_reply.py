"""Put what the API history knows about one error into the words of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Environment, Timeline
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import Question

ELSEWHERE = "the text comes from another environment, or from before a change of versions"
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
    """What to write instead, the best first, with the reason and the link of a kept rename."""

    do: tuple[str, ...] = ()
    why: str = ""
    link: str = ""

    def because(self, why: str) -> Instead:
        """Return it with a reason in front."""
        return Instead(self.do, " ".join(filter(None, (why, self.why))), self.link)


def reply(
    question: Question,
    context: Context,
    fits: Timeline,
    *,
    id: str,  # noqa: A002  (the field's name)
    subject: str,
    lacks: str,
    has: str,
    instead: Instead,
    alternative: str = "or keep the program as it is: ",
    own: bool = False,
    generic: bool = False,
) -> Found:
    """Return the answer where the releases in ``fits`` have what the program needs and others do not.

    ``subject`` is what the sentences are about; ``lacks`` and ``has`` say of it what a release that
    does not fit, and one that does, is like: "takes no 'tokenizer'", "took 'tokenizer'". With ``own``,
    ``has`` is a sentence of its own. To the changes of the code, commands are added that install a
    release that fits.
    """
    package, version = fits.package, context.installed.get(fits.package)
    state = fits.at(version) if version else None
    sentence = has if own else f"{subject} {has}"
    told = f"{sentence} {fits.words()}"
    if version is None:
        applies, note = "unknown", f"{package} not found here; {told}"
    elif state is None:
        applies, note = "unknown", f"{package} {version}: the source does not tell; {told}"
    elif state:
        applies, note = "no", f"{package} {version}: {told}; {ELSEWHERE}"
    else:
        applies, note = "yes", f"{package} {version} is installed; {told}"
    since = boundary(fits, version)
    prefix = alternative if instead.do else ""
    return Found(
        source="api",
        id=id,
        title=f"{subject} {lacks} " + (since[0] if since else f"in any release of {package}"),
        applies=applies,
        note=note,
        words=question.words,
        position=question.position,
        cause=f"{sentence} {fits.words(named=True)}. {instead.why}".strip(),
        do=(*instead.do, *(f"{prefix}{each}" for each in installs(fits, version))),
        not_help=(),
        link=instead.link or page(package, since[1] if since else fits.releases[-1]),
        sure=sure(fits),
        generic=generic,
    )


def boundary(fits: Timeline, version: str | None) -> tuple[str, str] | None:
    """Return in words since or before which release a version does not fit, and that release."""
    spans = fits.spans()
    if not spans:
        return None
    releases = fits.releases
    older = [each for each in spans if version is None or fits.before(version)]
    last = fits.before(version) if version else spans[-1][1]
    if older and last and last != releases[-1]:
        first_without = releases[releases.index(last) + 1]
        return f"since {fits.package} {first_without}", first_without
    first = (fits.after(version) if version else spans[0][0]) or spans[0][0]
    if first != releases[0]:
        return f"before {fits.package} {first}", first
    return None


def installs(fits: Timeline, version: str | None) -> tuple[str, ...]:
    """Return the commands that install a release that fits, newer ones first."""
    newest = fits.releases[-1]
    spans = fits.spans()
    if not spans or (version and fits.at(version)):
        return ()
    commands = []
    newer = fits.after(version) if version else (spans[-1][0] if spans[-1][1] == newest else None)
    if newer:
        open_end = any(first <= newer <= last == newest for first, last in spans) or (
            spans[-1][1] == newest and spans[-1][0] == newer
        )
        commands.append(f"pip install '{fits.package}{'>=' if open_end else '=='}{newer}'")
    older = fits.before(version) if version else (None if newer else spans[-1][1])
    if older:
        commands.append(f"pip install '{fits.package}=={older}'")
    return tuple(commands)


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
