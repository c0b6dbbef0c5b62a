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


def of_argument(
    question: Question, context: Context, subject: Subject, name: str, *, misspelt: bool = False
) -> Instead:
    """Return what replaces an argument: a kept rename, one in the data, another class, or a near name.

    A near name is offered only for an argument that no release has: ``misspelt``.
    """
    where = {each: context.index(each) for each in api_history.PACKAGES}
    now = api_subject.signature(subject, where)
    text = context.near(question)
    classes = _classes(subject, where)
    for owner in classes:  # the class itself before those that it inherits from
        for rename in api_history.renames():
            if rename.what != f"{owner}({name})":
                continue
            new, other = _new_name(rename), _class_of(rename)
            if new and other:
                if _accepts(question, context, other, new, where):
                    do = rename.do or (_moved(name, other, new, text),)
                    return Instead(do, rename.why, rename.link, rename.now)
            elif not new or (isinstance(now, Signature) and now.accepts(new) is not False):
                do = rename.do or (write(name, new, text),)
                return Instead(do, rename.why, rename.link, new)
    if not isinstance(now, Signature):
        return Instead((f"leave out {name}=",), second=True)
    for new in _deprecated(subject, where, name):
        if now.accepts(new):
            return Instead((write(name, new, text),), now=new)
    if sibling := _sibling(question, context, subject, name, where):
        return Instead((_moved(name, sibling, name, text),), now=f"an argument of {sibling}")
    for rename in api_history.renames():
        owner, _, old = rename.what.rstrip(")").partition("(")
        if rename.now == name and owner in classes and now.accepts(old):
            return Instead((write(name, old, text),), rename.why, rename.link)
    near = difflib.get_close_matches(name, [*now.names, *now.taken], 1, 0.75) if misspelt else []
    if near:
        return Instead((f"{write(name, near[0], text)} if that is what you mean",))
    return Instead((f"leave out {name}=",), second=True)


def _new_name(rename: Rename) -> str:
    return rename.now.rpartition("(")[2].rstrip(")")


def _class_of(rename: Rename) -> str:
    return rename.now.partition("(")[0] if "(" in rename.now else ""


def _accepts(
    question: Question, context: Context, owner: str, name: str, where: Environment
) -> bool:
    path = api_subject.find_path(owner, True, question, context)
    given = api_subject.signature(Subject(path, "__init__"), where) if path else None
    return isinstance(given, Signature) and given.accepts(name) is True


def _moved(old: str, owner: str, new: str, text: str) -> str:
    value = _value(old, text) or "…"
    call = f"{owner}({new}={value})"
    given = f"args={call}" if owner.endswith(("Config", "Arguments")) else call
    return f"pass it to {owner}: {given}"


def write(old: str, new: str, text: str) -> str:
    """Return the smallest change of a call, with the value that the text shows, if it is a plain one."""
    value = _value(old, text)
    return f"write {new}={value} instead of {old}={value}"


def _value(name: str, text: str) -> str:
    """Return the value that a call in the text gives an argument, "" if it is not a plain one."""
    found = re.findall(rf"\b{re.escape(name)}\s*=\s*([\w.\[\]'\"-]+)(?=\s*[,)\n])", text)
    return found[-1] if found else ""


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
        entry = history.classes[path].get("methods", {}).get(subject.method, [])
        for text in filter(None, entry[1::2]):
            signature = api_history.parse(text)
            if signature and signature.renamed.get(name):
                yield signature.renamed[name]


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
    return other if _accepts(question, context, other, name, where) else None
