"""Answer errors of a name: one that cannot be imported, a module or an attribute that is missing."""

from __future__ import annotations

import difflib
import re

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Timeline
from metalassay.diagnosis import api_reply, api_subject
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import Question
from metalassay.diagnosis.api_reply import Context, Instead, Wording

_INSTALLED = re.compile(r"(?:site|dist)-packages[/\\]|[/\\]src[/\\]")
_PATH = re.compile(r"\(([^()\n]{1,300}?([\w-]+)(?:[/\\]__init__)?\.py)\)")
# Classes of transformers' models derive from these; the data has the models' names alone.
_MODEL_BASES = (
    ("TokenizerFast", "transformers.tokenization_utils_fast.PreTrainedTokenizerFast"),
    ("Tokenizer", "transformers.tokenization_utils.PreTrainedTokenizer"),
    ("Processor", "transformers.processing_utils.ProcessorMixin"),
    ("Config", "transformers.configuration_utils.PretrainedConfig"),
    ("", "transformers.modeling_utils.PreTrainedModel"),
)
_GENERATION = "transformers.generation.utils.GenerationMixin"


def imported(question: Question, context: Context) -> Found | None:
    """Answer "cannot import name 'X' from 'package.module'"."""
    if found := _shadowed(question) or _no_package(question):
        return found
    if "partially initialized" in question.rest:
        return None  # a circle of imports says nothing about releases
    return _name(question, context, "from {module} import {name}")


def attribute_of_module(question: Question, context: Context) -> Found | None:
    """Answer "module 'package' has no attribute 'x'"."""
    package = question.owner.partition(".")[0]
    submodule = api_history.history(package).module(f"{question.owner}.{question.names[0]}")
    if submodule.ever:
        return None  # there, but not imported: no question of releases
    return _name(question, context, "{module}.{name}")


def module(question: Question, context: Context) -> Found | None:
    """Answer "No module named 'package.module'"."""
    path, history = question.owner, api_history.history(question.owner.partition(".")[0])
    if "is not a package" in question.rest:
        return _shadow(question, history.package, f"{history.package}.py")
    fits = history.module(path)
    if not fits.ever and not history.module(path.rpartition(".")[0]).ever:
        return None
    index = context.index(history.package)
    instead = _renamed(history.package, (path,))
    if instead is None:
        others = [each for each in history.modules(path.rpartition(".")[2], index) if each != path]
        near = [each for each in others if not path.startswith(api_history.MODELS)]
        instead = Instead((f"import it from {near[0]}",)) if len(near) == 1 else Instead()
    wording = Wording(f"the module {path}", "does not exist", "exists", "existed")
    instead = _by_library(question, context, path) or instead
    return api_reply.reply(question, context, fits, wording, instead, id=path, alternative="or: ")


def attribute_of_object(question: Question, context: Context) -> Found | None:
    """Answer "'X' object has no attribute 'y'", where some release of the class has it."""
    owner, name = question.owner, question.names[0]
    path = api_subject.find_path(owner, True, question, context) or _model_base(owner, context)
    if path is None:
        return None
    package = path.partition(".")[0]
    history = api_history.history(package)
    fixed = {each: context.index(each) for each in api_history.PACKAGES}
    subject = api_subject.Subject(path, "__init__")
    # A model with a head generates; its class derives from both.
    mixed_in = [_GENERATION] if path == _MODEL_BASES[-1][1] and "For" in owner else []

    def has(index: int) -> bool | None:
        at = api_subject.path_at(subject, history, index)
        if at is None:
            return None
        where = {**fixed, package: index}
        return any(api_history.has_attribute(each, name, where) for each in (at, *mixed_in))

    fits = history.timeline(has)
    version = context.installed.get(package)
    if not fits.ever and (found := _a_subclass_has(question, context, path)):
        return found
    if not fits.ever or (version and fits.at(version) is not False):
        return None  # never the class's own, or there: then the object's state is the matter
    classes = {
        each.rpartition(".")[2]: None
        for index in (context.index(package), history.releases.index(fits.spans()[-1][1]))
        for each in api_history.ancestors(
            api_subject.path_at(subject, history, index) or path, {**fixed, package: index}
        )
    }
    instead = _renamed(package, tuple(f"{each}.{name}" for each in classes))
    index = context.index(package)
    if instead is None:
        known = api_history.attributes(path, {**fixed, package: index})
        near = difflib.get_close_matches(name, known, 1, 0.8)
        instead = Instead((f"write {near[0]} if that is what you mean",)) if near else Instead()
    named = package in context.near(question)
    wording = Wording(owner, f"has no attribute '{name}'", f"has '{name}'", f"had '{name}'")
    return api_reply.reply(
        question, context, fits, wording, instead, id=f"{package}.{owner}.{name}",
        generic=not named,
    )  # fmt: skip


def _a_subclass_has(question: Question, context: Context, path: str) -> Found | None:
    """Answer where a configuration lacks what the one made for the trainer at hand has.

    TRL's trainers take a DPOConfig or SFTConfig, each derived from TrainingArguments.
    """
    owner, name = question.owner, question.names[0]
    if not owner.endswith(("Arguments", "Config")):
        return None
    where = {each: context.index(each) for each in api_history.PACKAGES}
    having = [
        each
        for package in api_history.PACKAGES
        for each in api_history.history(package).classes
        if each.endswith(("Arguments", "Config"))
        and path in api_history.ancestors(each, where)[1:]
        and api_history.has_attribute(each, name, where) is True
    ]
    near = context.near(question)
    configs = {each.rpartition(".")[2]: each for each in having if ".experimental." not in each}
    named = [each for each in configs if each.removesuffix("Config") + "Trainer" in near]
    named = named or [each for each in configs if each in near]
    if not configs:
        return None
    chosen = named[0] if len(named) == 1 else ""
    package = configs[chosen or next(iter(configs))].partition(".")[0]
    wanted = chosen or api_reply.listed([f"{each}" for each in sorted(configs)][:5])
    version = context.installed.get(package)
    return Found(
        source="api",
        id=f"{path.partition('.')[0]}.{owner}.{name}",
        title=f"{owner} has no '{name}': the trainer wants {chosen or 'its own configuration'} as args",
        applies="yes",
        note=f"{package} {version} is installed" if version else f"{package} not found here",
        words=question.words,
        position=question.position,
        cause=f"'{name}' belongs to {package}'s {wanted}, derived from {owner}; a trainer of {package} reads "
        f"what {owner} alone does not have.",
        do=(
            f"write args = {chosen}(...) in place of {owner}(...), with the same arguments: "
            f"from {package} import {chosen}"
            if chosen
            else f"write the trainer's own configuration in place of {owner}(...), with the same arguments: "
            f"one of {wanted}, from {package}",
        ),
        not_help=(),
        link=api_reply.page(package, api_history.history(package).releases[where[package]]),
        sure=f"read in the source of {package}",
    )


def _model_base(owner: str, context: Context) -> str | None:
    history = api_history.history("transformers")
    if not history.has_model_class(owner):
        return None
    for ending, base in _MODEL_BASES:
        if owner.endswith(ending):
            return base
    return None


def _name(question: Question, context: Context, form: str) -> Found | None:
    path, name = question.owner, question.names[0]
    package = path.partition(".")[0]
    history = api_history.history(package)
    if not history.module(path).ever:
        return None
    fits = history.name(path, name)
    if not fits.ever and None in fits.states:
        return None  # the module answers for names that its source does not show
    index = context.index(package)
    instead = _renamed(package, (f"{path}.{name}", f"{package}.{name}"))
    if instead is None:
        instead = _elsewhere(question, history, fits, index, form)
    by_library = _by_library(question, context, f"{path}.{name}")
    wording = Wording(path, f"has no '{name}'", f"has '{name}'", f"had '{name}'")
    return api_reply.reply(
        question, context, fits, wording, by_library or instead, id=f"{path}.{name}",
        alternative="or: " if by_library else api_reply.KEEP,
    )  # fmt: skip


def _elsewhere(
    question: Question, history: api_history.History, fits: Timeline, index: int, form: str
) -> Instead:
    name = question.names[0]
    homes = [each for each in history.homes(name, index) if each != question.owner]
    if homes:
        return Instead((f"write: {form.format(module=homes[0], name=name)}",))
    for package in api_history.PACKAGES:
        other = api_history.history(package)
        if package != history.package and name in other.names(package, len(other.releases) - 1):
            return Instead((f"write: {form.format(module=package, name=name)}",))
    if fits.ever:
        return Instead()
    near = difflib.get_close_matches(name, history.names(question.owner, index), 1, 0.85)
    return Instead(
        (
            *(f"write {each} if that is what you mean" for each in near),
            f"if it is newer than {history.releases[-1]}: pip install -U {history.package}",
        )
    )


def _renamed(package: str, subjects: tuple[str, ...]) -> Instead | None:
    for rename in api_history.renames():
        if rename.package == package and rename.what in subjects:
            do = rename.do or (f"write {rename.now} instead of {rename.what.rpartition('.')[2]}",)
            return Instead(do, rename.why, rename.link, rename.now)
    return None


def _by_library(question: Question, context: Context, what: str) -> Instead | None:
    """Return what to do where a library's own line, not the user's, imports the name."""
    caller, package = question.caller, what.partition(".")[0]
    if caller in ("", "python", package):
        return None
    if caller == "?":  # no traceback: which installed library imports it?
        for other in api_history.PACKAGES:
            uses = api_history.history(other).uses_of(what)
            version = context.installed.get(other)
            if other != package and version and uses.at(version):
                do = api_reply.installs(uses.negated(), version)
                return Instead(do, f"{other} {version} imports it.", second=True)
        return None
    owner = api_reply.possessive(caller)
    why = f"The import is in {owner} own code ({question.frames[-1].module})."
    do = (f"pip install -U {caller}",)
    if caller in api_history.PACKAGES:
        uses = api_history.history(caller).uses_of(what)
        if uses.ever:
            why += f" {caller} imports it {uses.words()}."
            do = api_reply.installs(uses.negated(), context.installed.get(caller)) or do
    return Instead(do, why, second=True)


def _shadowed(question: Question) -> Found | None:
    """Answer where Python took a file of the user's for the library."""
    package = question.owner.partition(".")[0]
    found = _PATH.search(question.rest)
    if not found or _INSTALLED.search(found[1]) or found[2] != question.owner.rpartition(".")[2]:
        return None
    if question.owner != package:
        return None
    return _shadow(question, package, found[1])


def _shadow(question: Question, package: str, path: str) -> Found:
    return Found(
        source="api",
        id=f"{package}-hidden-by-a-file",
        title=f"a file of your own hides the package {package}: Python imported {path}",
        applies="yes",
        note="does not depend on versions",
        words=question.words,
        position=question.position,
        cause=f"Python looks in the folder of the program first, so a file named {package}.py there is "
        f"imported in place of the library.",
        do=(
            f"rename {path} (and any __pycache__ beside it)",
            f"see which file is imported: python -c 'import {package}; print({package}.__file__)'",
        ),
        not_help=(f"to install {package} again: the file is still found first",),
        link="https://docs.python.org/3/library/sys.html#sys.path",
        sure="read in the text: the path that Python names is not that of an installed package",
    )


def _no_package(question: Question) -> Found | None:
    """Answer "(unknown location)": a folder without ``__init__.py`` was found, not the library."""
    package = question.owner.partition(".")[0]
    if "unknown location" not in question.rest or question.owner != package:
        return None
    return Found(
        source="api",
        id=f"{package}-unknown-location",
        title=f"Python found a folder named {package}, not the installed package",
        applies="yes",
        note="does not depend on versions",
        words=question.words,
        position=question.position,
        cause=f"(unknown location) means a folder {package} without __init__.py: one of your own beside the "
        f"program, or what a broken installation left behind.",
        do=(
            f"see which folder it is: python -c 'import {package}; print({package}.__path__)'",
            f"rename it if it is yours; else: pip install --force-reinstall --no-deps {package}",
        ),
        not_help=(),
        link="https://docs.python.org/3/reference/import.html#namespace-packages",
        sure="how Python imports packages",
    )
