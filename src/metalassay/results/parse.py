"""One result file, from its bytes to frozen records: verdicts, a benchmark run, a largest batch.

Nothing in a file is taken on trust. Besides types and ranges, what it says twice must agree: the
word for a bug with the outcomes of its tests, the median with the times of the rounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from packaging.requirements import Requirement

from metalassay.bugs import verdict
from metalassay.fields import Field, FieldError
from metalassay.machine.hardware import Hardware, from_dict, identity
from metalassay.results import max_batch_file, measurement
from metalassay.results.max_batch_file import LargestBatch
from metalassay.results.measurement import Measurement

COMPAT = "metalassay.compat"
BENCHMARKS = "metalassay.benchmarks"
ROWS = "metalassay.rows"
CHECKPOINT = "metalassay.checkpoint"
_SCHEMA_NUMBER = "1"

__all__ = [
    "BENCHMARKS",
    "COMPAT",
    "BugResult",
    "BugTest",
    "LargestBatch",
    "Measurement",
    "VersionSet",
    "parse",
    "same_set",
]


@dataclass(frozen=True)
class BugTest:
    """One run of one test of one bug; the fields are those of the verdict file."""

    test: str
    symptom: str | None
    upstream: str
    affected: bool
    outcome: str
    seconds: float
    evidence: str


@dataclass(frozen=True)
class BugResult:
    """What one version set showed of one bug. ``verdict`` is a word of ``metalassay.bugs.verdict``."""

    id: str
    title: str
    link: str
    where: str
    verdict: str
    why: str
    fixes: tuple[str, ...]
    tests: tuple[BugTest, ...]


@dataclass(frozen=True)
class VersionSet:
    """One verdict file: the versions that were installed together, and what each bug did there.

    ``not_installable`` is the resolver's sentence, else None. ``distrusted`` says where the file
    contradicts itself, else None; a set that is distrusted proves nothing.
    """

    id: str
    requires: tuple[str, ...]
    reason: str
    command: str
    started: datetime
    seconds: float
    versions: Mapping[str, str] = field(hash=False)
    hardware: Hardware
    not_installable: str | None
    distrusted: str | None
    bugs: tuple[BugResult, ...]
    file: str


def same_set(one: VersionSet) -> tuple[object, ...]:
    """Return what two verdict files must share for the newer one to stand for both."""
    return one.id, identity(one.hardware), tuple(sorted(one.versions.items()))


def parse(content: bytes, file: str) -> VersionSet | LargestBatch | tuple[Measurement, ...]:
    """Read the content of one result file; ``file`` is its name as the report shows it.

    Raises ``FieldError``, and nothing else, when the content is not a result we can use.
    """
    document = Field(_json(content))
    top = document.value if isinstance(document.value, dict) else {}
    schema = top.get("schema")
    schema = schema if isinstance(schema, str) else ""
    if schema.startswith(("metalassay.upstream/", f"{ROWS}/")):
        return ()  # ours, of `nox -s upstream` and `report --json`; nothing in it is a result
    if _of_a_training(schema, top):
        return ()  # its log is for --log, and the rest for --resume, evaluate and generate
    if schema.startswith(f"{COMPAT}/"):
        _check_schema(document.get("schema"), COMPAT)
        return _version_set(document, file)
    if schema.startswith(f"{max_batch_file.NAME}/"):
        _check_schema(document.get("schema"), max_batch_file.NAME)
        return max_batch_file.read(document, file)
    if "metalassay" in top:
        _check_schema(document.get("metalassay").get("schema"), BENCHMARKS)
        return tuple(measurement.read(document, file))
    if "benchmarks" in top and "machine_info" in top:
        raise FieldError(
            'a pytest-benchmark file of another project (it has no "metalassay" block)'
        )
    raise FieldError("JSON, but neither a metalassay verdict file nor a benchmark run")


def _of_a_training(schema: str, top: Mapping[str, object]) -> bool:
    """Return whether a file is one of those that `metalassay train` leaves beside its log."""
    if schema.startswith(f"{CHECKPOINT}/"):
        return True
    if type(top.get("steps")) is int and isinstance(top.get("checkpoint"), str):
        return True  # its result.json
    # Its tokenizer.json; those of the tokenizers library all look so.
    return isinstance(top.get("added_tokens"), list) and isinstance(top.get("model"), dict)


def _json(content: bytes) -> object:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FieldError(f"not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise FieldError("empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        cut = ", where the file ends" if error.pos >= len(text.rstrip()) else ""
        place = f"line {error.lineno}, column {error.colno}"
        raise FieldError(f"not JSON ({place}{cut}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # digits without end, brackets without end
        raise FieldError(f"not JSON that can be read ({error})") from None


def _check_schema(schema: Field, name: str) -> None:
    text = schema.text()
    number = text.removeprefix(f"{name}/")
    if number == text or not (number.isascii() and number.isdigit()):
        raise schema.wrong(f"{name}/{_SCHEMA_NUMBER}")
    if number != _SCHEMA_NUMBER:
        raise FieldError(f"written by a newer metalassay (schema {text}); upgrade to read it")


def _version_set(top: Field, file: str) -> VersionSet:
    about = top.get("set")
    bugs = tuple(_bug(each) for each in top.get("bugs").each())
    ids = [bug.id for bug in bugs]
    if len(set(ids)) < len(ids):
        raise FieldError("bugs: an id stands there twice")
    not_installable = top.get("not_installable").or_none(Field.name)
    if not_installable and bugs:
        raise FieldError("bugs: tested, although not_installable says that nothing was installed")
    versions = top.get("versions").texts()
    requires = tuple(each.name() for each in about.get("requires").each())
    doubts = [
        *_judged_otherwise(bugs),
        *([] if not_installable else _not_as_asked(requires, versions)),
    ]
    return VersionSet(
        id=about.get("id").name(),
        requires=requires,
        reason=about.get("reason").text(),
        command=top.get("command").text(),
        started=top.get("started").moment(),
        seconds=top.get("seconds").number(0, 1e9),
        versions=versions,
        hardware=from_dict(top.get("hardware").value),
        not_installable=not_installable,
        distrusted="; ".join(doubts) or None,
        bugs=bugs,
        file=file,
    )


def _bug(bug: Field) -> BugResult:
    return BugResult(
        id=bug.get("id").name(),
        title=bug.get("title").name(),
        link=bug.get("link").text(),
        where=bug.get("where").text(),
        verdict=bug.get("verdict").one_of(verdict.MEANING),
        why=bug.get("why").text(),
        fixes=tuple(each.text() for each in bug.get("fixes").each()),
        tests=tuple(_test(each) for each in bug.get("tests").each()),
    )


def _test(test: Field) -> BugTest:
    return BugTest(
        test=test.get("test").name(),
        symptom=test.get("symptom").or_none(Field.text),
        upstream=test.get("upstream").one_of(("stock", "patched")),
        affected=test.get("affected").flag(),
        outcome=test.get("outcome").one_of(("passed", "failed", "skipped", "xfailed", "xpassed")),
        seconds=test.get("seconds").number(0, 1e9),
        evidence=test.get("evidence").text(),
    )


def _judged_otherwise(bugs: Iterable[BugResult]) -> Iterator[str]:
    """Yield where a recorded word is not the one that its own tests lead to."""
    for bug in bugs:
        word = verdict.decide(
            verdict.TestRun(t.upstream, t.affected, t.outcome, control=t.symptom is None)
            for t in bug.tests
        )
        if word != bug.verdict:
            yield f'{bug.id} is called "{bug.verdict}", but its tests say "{word}"'


def _not_as_asked(requires: Iterable[str], versions: Mapping[str, str]) -> Iterator[str]:
    """Yield where the versions found installed are not those that the set asks for."""
    for text in requires:
        try:
            wanted = Requirement(text)
        except ValueError:  # InvalidRequirement, or a number with too many digits
            continue  # pip reads more than names and versions, such as a path
        found = versions.get(wanted.name)
        if found is not None and not _fits(wanted, found):
            yield f"it asks for {text}, but {wanted.name} {found} was installed"


def _fits(wanted: Requirement, found: str) -> bool:
    try:
        return wanted.specifier.contains(found, prereleases=True)
    except ValueError:  # a file may call anything a version, and one with 5,000 digits too
        return False
