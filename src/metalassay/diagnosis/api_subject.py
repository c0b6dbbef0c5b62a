"""Find the class or function of a library that an error names, and its signature in each release."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Environment, History, Method, Signature, Timeline
from metalassay.diagnosis.api_question import Question
from metalassay.diagnosis.api_reply import Context


@dataclass(frozen=True)
class Subject:
    """A class or function of a library: its path in the history, and the method, "" for a function."""

    path: str
    method: str

    @property
    def package(self) -> str:
        """The library."""
        return self.path.partition(".")[0]

    @property
    def owner(self) -> str:
        """The name of the class or function alone."""
        return self.path.rpartition(".")[2]

    @property
    def name(self) -> str:
        """The name as people write it: SFTTrainer, Trainer.compute_loss, load_dataset."""
        return self.owner if self.method in ("", "__init__") else f"{self.owner}.{self.method}"


def find(question: Question, context: Context) -> Subject | None:
    """Return what the message names; None if the history knows nothing or several of that name."""
    parts = question.owner.split(".")
    if len(parts) > 2 or parts == ["__init__"]:
        return None
    name, method = (parts[0], parts[1]) if len(parts) == 2 else (parts[0], "")
    path = find_path(name, bool(method), question, context)
    if path is None and method == "__init__":
        path = _derived_from(name, question, context)
    return Subject(path, method) if path else None


def _derived_from(name: str, question: Question, context: Context) -> str | None:
    """Return the library's configuration that a class such as AxolotlGRPOConfig is derived from.

    A dataclass that is derived from another has its arguments. Only for names that the name ends with.
    """
    if not name.endswith(("Config", "TrainingArguments")):
        return None
    ends = (name[at:] for at in range(1, len(name)) if name[at].isupper())
    for end in ends:  # the longest first
        if end in ("Config", "Arguments"):
            return None
        if path := find_path(end, True, question, context):
            return path
    return None


def find_path(name: str, is_class: bool, question: Question, context: Context) -> str | None:
    """Return the path of the class or function with this name; None if none or several fit."""
    found: dict[str, str] = {}
    for package in api_history.PACKAGES:
        if path := _path_in(api_history.history(package), name, is_class, question, context):
            found[package] = path
    if len(found) > 1:
        near = context.near(question)
        named = {key for key in found if re.search(rf"\b{key}\b", near)}
        for narrowed in (named, context.where.keys() & found.keys()):
            if narrowed:
                found = {key: found[key] for key in narrowed if key in found} or found
    return next(iter(found.values())) if len(found) == 1 else None


def _path_in(
    history: History, name: str, is_class: bool, question: Question, context: Context
) -> str | None:
    paths = [each for each in history.paths(name) if (each in history.classes) == is_class]
    if history.package in context.where:
        index = context.where[history.package]
        paths = [each for each in paths if history.exists(each, index)] or paths
    framed = {frame.module for frame in question.frames}
    in_frames = [each for each in paths if each.rpartition(".")[0] in framed]
    if not is_class and not history.is_public(name):
        paths = in_frames  # a function's name alone says little: main(), train(), log()
    paths = in_frames or paths
    if len(paths) > 1 and not history.is_public(name):
        return None
    return min(paths, key=_likeliest, default=None)


def _likeliest(path: str) -> tuple[bool, int, str]:
    return (".experimental." in path, path.count("."), path)


def signature(subject: Subject, where: Environment) -> Signature | bool | None:
    """Return the signature; False where the release has no such callable, None if unknown."""
    history = api_history.history(subject.package)
    index = where.get(subject.package)
    if index is None:
        return None
    path = path_at(subject, history, index)
    if path is None:
        return False
    if not subject.method:
        return history.function(path, index)
    found = api_history.method(path, subject.method, where)
    return found.signature if isinstance(found, Method) else found


def path_at(subject: Subject, history: History, index: int) -> str | None:
    """Return where a release defines the subject, which may have been another module then."""
    if history.exists(subject.path, index):
        return subject.path
    others = [
        each
        for each in history.paths(subject.owner)
        if (each in history.classes) == bool(subject.method) and history.exists(each, index)
    ]
    return min(others, key=_likeliest, default=None)


def timelines(
    subject: Subject, context: Context, state: Callable[[Signature], bool | None]
) -> tuple[Timeline, ...]:
    """Return a state by release: of the subject's package, then of those that it inherits from.

    While the releases of one package vary, the others stay as they are installed, or the newest
    where they are not.
    """
    fixed = {package: context.index(package) for package in api_history.PACKAGES}
    if subject.package not in context.where:
        fixed[subject.package] = _newest(subject)
    packages = [path.partition(".")[0] for path in lineage(subject, fixed)]
    found = []
    for package in dict.fromkeys([subject.package, *packages]):

        def at(index: int, package: str = package) -> bool | None:
            result = signature(subject, {**fixed, package: index})
            return state(result) if isinstance(result, Signature) else _flag(result)

        found.append(api_history.history(package).timeline(at))
    return tuple(found)


def _flag(result: bool | None) -> bool | None:
    return result


def lineage(subject: Subject, where: Environment) -> tuple[str, ...]:
    """Return the paths of the subject's class and of those that it inherits from."""
    history = api_history.history(subject.package)
    path = path_at(subject, history, where[subject.package])
    return api_history.ancestors(path, where) if path and subject.method else ()


def _newest(subject: Subject) -> int:
    history = api_history.history(subject.package)
    indices = reversed(range(len(history.releases)))
    return next((each for each in indices if path_at(subject, history, each)), 0)
