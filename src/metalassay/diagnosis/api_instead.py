"""What to write in place of an argument or a name that the installed release does not have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Environment, Rename, Signature
from metalassay.diagnosis import api_subject
from metalassay.diagnosis.api_question import Question
from metalassay.diagnosis.api_reply import Context, Instead
from metalassay.diagnosis.api_subject import Subject


def of_argument(question: Question, context: Context, subject: Subject, name: str) -> Instead:
    """Return what replaces an argument: a kept rename, one in the data, another class, or a near name."""
    where = {each: context.index(each) for each in api_history.PACKAGES}
    now = api_subject.signature(subject, where)
    classes = _classes(subject, where)
    for rename in api_history.renames():
        if rename.what in {f"{each}({name})" for each in classes} and _works(rename, subject, where):
            do = rename.do or (write(name, rename.now, context.near(question)),)
            return Instead(do, rename.why, rename.link)
    if not isinstance(now, Signature):
        return Instead((f"leave out {name}=",))
    for new in _deprecated(subject, where, name):
        if now.accepts(new):
            return Instead((write(name, new, context.near(question)),))
    if other := _sibling(question, context, subject, name, where):
        inner = f"{other}({name}=…)"
        do = f"args={inner}" if not other.endswith("Trainer") else inner
        return Instead((f"pass it to {other}: {do}",))
    for old in _reversed(classes, name):
        if now.accepts(old.what.partition("(")[2].rstrip(")")):
            before = old.what.partition("(")[2].rstrip(")")
            return Instead((write(name, before, context.near(question)),), old.why, old.link)
    known = [*now.names, *now.taken]
    near = difflib.get_close_matches(name, known, 1, 0.75)
    if near:
        return Instead((f"{write(name, near[0], context.near(question))} if that is what you mean",))
    return Instead((f"leave out {name}=",))


def write(old: str, new: str, text: str) -> str:
    """Return the smallest change of a call, with the value that the text shows, if it is a plain one."""
    found = re.findall(rf"\b{re.escape(old)}\s*=\s*([\w.\[\]'\"-]+)(?=\s*[,)\n])", text)
    value = found[-1] if found else ""
    return f"write {new}={value} instead of {old}={value}"


def _works(rename: Rename, subject: Subject, where: Environment) -> bool:
    """Return whether the new name is accepted in these releases; sentences are not checked."""
    if rename.do or not rename.now:
        return True
    now = api_subject.signature(subject, where)
    return isinstance(now, Signature) and now.accepts(rename.now) is not False


def _classes(subject: Subject, where: Environment) -> tuple[str, ...]:
    paths = api_subject.lineage(subject, where) or (subject.path,)
    names = [path.rpartition(".")[2] for path in paths]
    if subject.method in ("", "__init__"):
        return tuple(names)
    return tuple(f"{each}.{subject.method}" for each in names)


def _deprecated(subject: Subject, where: Environment, name: str) -> Iterator[str]:
    """Yield the new names that a decorator of some release gives an old argument."""
    for path in api_subject.lineage(subject, where):
        history = api_history.history(path.partition(".")[0])
        entry = history.classes[path]["methods"].get(subject.method, [])
        for text in filter(None, entry[1::2]):
            signature = api_history.parse(text)
            if signature and signature.renamed.get(name):
                yield signature.renamed[name]


def _reversed(classes: tuple[str, ...], name: str) -> Iterator[Rename]:
    for rename in api_history.renames():
        if rename.now == name and rename.what.partition("(")[0] in classes:
            yield rename


def _sibling(
    question: Question, context: Context, subject: Subject, name: str, where: Environment
) -> str | None:
    """Return the configuration's class that takes an argument of a trainer, or the reverse."""
    if subject.method != "__init__":
        return None
    owner = subject.owner
    if owner.endswith("TrainingArguments"):
        other = owner.replace("TrainingArguments", "Trainer")
    elif owner in ("Trainer", "Seq2SeqTrainer"):
        other = owner.replace("Trainer", "TrainingArguments")
    elif owner.endswith("Trainer"):
        other = owner.removesuffix("Trainer") + "Config"
    elif owner.endswith("Config"):
        other = owner.removesuffix("Config") + "Trainer"
    else:
        return None
    path = api_subject.find_path(other, True, question, context)
    if path is None:
        return None
    given = api_subject.signature(Subject(path, "__init__"), where)
    return other if isinstance(given, Signature) and given.accepts(name) else None
