"""Answer errors of a call: an argument that is refused, missing, or one too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Signature, Timeline
from metalassay.diagnosis import api_instead, api_reply, api_subject
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import Question
from metalassay.diagnosis.api_reply import Context, Instead, Wording
from metalassay.diagnosis.api_subject import Subject

Suits = Callable[[Signature], bool | None]

_TRAINER = "transformers.trainer.Trainer"
_LOADING = Subject("transformers.modeling_utils.PreTrainedModel", "from_pretrained")
# load_dataset() hands what it does not know to the class that configures the reader of the files.
_READER = "datasets.builder.BuilderConfig"
_LOAD_DATASET = Subject("datasets.load.load_dataset", "")
_COMMON = frozenset({"Accelerator", "Dataset", "PretrainedConfig", "Trainer"})
_ARGUMENTS = Subject("transformers.training_args.TrainingArguments", "__init__")
# Arguments of TrainingArguments that hardly any other class has.
_TELLING = frozenset(
    {
        "dataloader_num_workers", "ddp_find_unused_parameters", "eval_accumulation_steps",
        "eval_strategy", "evaluation_strategy", "gradient_checkpointing_kwargs", "greater_is_better",
        "group_by_length", "hub_model_id", "include_num_input_tokens_seen", "label_smoothing_factor",
        "load_best_model_at_end", "logging_strategy", "metric_for_best_model", "neftune_noise_alpha",
        "no_cuda", "optim_args", "per_device_eval_batch_size", "per_device_train_batch_size",
        "per_gpu_train_batch_size", "predict_with_generate", "remove_unused_columns", "report_to",
        "save_safetensors", "save_strategy", "save_total_limit", "torch_compile", "use_mps_device",
    }
)  # fmt: skip
# What programs derive classes of their own from, by the end of the name.
_DERIVED = (
    "Trainer", "Callback", "CallbackHandler", "Collator", "GenerationMixin", "PreTrainedModel",
    "LogitsProcessor", "StoppingCriteria", "Cache", "Streamer", "Tracker",
)  # fmt: skip


def unexpected(question: Question, context: Context) -> Found | None:
    """Answer "got an unexpected keyword argument"."""
    name = question.names[0]

    def accepts(given: Signature) -> bool | None:
        return given.accepts(name)

    subject = api_subject.find(question, context)
    if subject is None:
        if _is_model(question):
            why = (
                "What from_pretrained and the model's configuration do not know is handed to the "
                "model's class, which takes the configuration alone."
            )
            return _handed_on(question, context, _LOADING, "from_pretrained", name, why)
        if question.owner == "__init__":
            return _unnamed(question, context, name)
        return _own_override(question, context, accepts, f"'{name}'", f"{name}=None")
    if _reads_files(subject, context):
        why = f"load_dataset hands what it does not know to {subject.name}, which refuses it."
        return _handed_on(question, context, _LOAD_DATASET, "load_dataset", name, why)
    if found := _library_override(question, context, subject, accepts, f"'{name}'"):
        return found
    if _is_another_class(question, context, subject, accepts):
        return _own_override(question, context, accepts, f"'{name}'", f"{name}=None")
    id_ = f"{subject.package}.{subject.name}({name})"
    lines = api_subject.timelines(subject, context, accepts)
    fits = _deciding(lines)
    if fits is None:
        return _never(question, context, subject, name, lines[0], id_)
    if found := _by_library(question, context, subject, name, fits, id_):
        return found
    instead = api_instead.of_argument(question, context, subject, name)
    return api_reply.reply(question, context, fits, _argument(subject.name, name), instead, id=id_)


def _argument(subject: str, name: str) -> Wording:
    return Wording(subject, f"takes no '{name}'", f"takes '{name}'", f"took '{name}'")


def missing(question: Question, context: Context) -> Found | None:
    """Answer "missing 1 required positional argument"."""
    names = set(question.names)
    if not names:
        return None
    subject = api_subject.find(question, context)
    if subject is None:
        return _not_passed(question, context)
    there = api_subject.timelines(subject, context, lambda given: True)
    demanded = api_subject.timelines(subject, context, lambda given: _demands(given, names))
    text = api_reply.listed([f"'{each}'" for each in question.names])
    for exists, demands in zip(there, demanded, strict=True):
        if demands.ever:
            fits = _both(exists, demands.negated())
            break
    else:
        return None
    give = Instead((f"pass {', '.join(f'{each}=…' for each in question.names)} to {subject.name}",))
    wording = Wording(
        subject.name, f"requires {text}", f"does not require {text}", f"did not require {text}"
    )
    id_ = f"{subject.package}.{subject.name}({','.join(question.names)})"
    return api_reply.reply(question, context, fits, wording, give, id=id_)


def takes(question: Question, context: Context) -> Found | None:
    """Answer "takes 1 positional argument but 2 were given"."""

    def enough(given: Signature) -> bool:
        return given.any_positional or len(given.positional) >= question.given

    subject = api_subject.find(question, context)
    if subject is None:
        return _own_override(question, context, enough, "one argument more", "*args, **kwargs")
    if found := _library_override(question, context, subject, enough, "one argument more"):
        return found
    if _is_another_class(question, context, subject, enough):
        return _own_override(question, context, enough, "one argument more", "*args, **kwargs")
    now = api_subject.signature(subject, context.where)
    if isinstance(now, Signature) and not enough(now) and len(now.positional) != question.most:
        return None  # neither this release nor this method raises it
    lines = api_subject.timelines(subject, context, enough)
    fits = _deciding(lines) or lines[0]
    positional = now.positional[: question.most] if isinstance(now, Signature) else ()
    names = [each for each in positional if each not in ("self", "cls")]
    by_name = "pass the arguments by their names" + (
        f"; by position it takes {api_reply.listed(names)}" if names else ""
    )
    wording = Wording(
        subject.name,
        f"takes {question.most} positional arguments (self counts)",
        f"takes {question.given} or more",
        f"took {question.given} or more",
    )
    id_ = f"{subject.package}.{subject.name}"
    return api_reply.reply(question, context, fits, wording, Instead((by_name,)), id=id_)


def _demands(given: Signature, names: set[str]) -> bool | None:
    """Return whether a call must give these; None for a deprecated class that only hands all on."""
    if given.any_positional and given.any_keyword and not given.names:
        return None
    return names <= given.required


def _is_another_class(question: Question, context: Context, subject: Subject, suits: Suits) -> bool:
    """Return whether the class must be another one of the same name, that derives from the library's.

    The installed library calls its own method as it defines it, so a method that does not fit the
    call is not the library's.
    """
    if subject.method in ("", "__init__") or question.caller not in ("?", "", subject.package):
        return False
    fits = api_subject.timelines(subject, context, suits)[0]
    version = context.installed.get(subject.package)
    return version is not None and fits.at(version) is True and not all(fits.states)


def _unnamed(question: Question, context: Context, name: str) -> Found | None:
    """Answer where Python 3.9 or older names no class, but few classes take such an argument.

    The program was written for a release that takes it, and the installed one does not.
    """
    package = _ARGUMENTS.package
    version = context.installed.get(package)
    if name not in _TELLING or version is None or question.caller not in ("?", "", package):
        return None
    fits = api_subject.timelines(_ARGUMENTS, context, lambda given: given.accepts(name))[0]
    state = fits.at(version)
    if state is True or (state is None and not api_reply.too_old(fits, version)):
        return None
    instead = api_instead.of_argument(question, context, _ARGUMENTS, name)
    return api_reply.reply(
        question, context, fits, _argument(_ARGUMENTS.name, name),
        instead.because("The text does not name the class; this argument is TrainingArguments'."),
        id=f"{package}.{_ARGUMENTS.name}({name})", generic=True,
    )  # fmt: skip


def _never(
    question: Question, context: Context, subject: Subject, name: str, line: Timeline, id_: str
) -> Found | None:
    """Answer for an argument that no release takes: it belongs elsewhere, or is misspelt."""
    fixed = {each: context.index(each) for each in api_history.PACKAGES}
    now = api_subject.signature(subject, fixed)
    if not isinstance(now, Signature) or now.accepts(name) is not False:
        return None
    instead = api_instead.of_argument(question, context, subject, name, misspelt=True)
    if instead.do == (f"leave out {name}=",):
        instead = Instead((*instead.do, _changed(subject.package)))
    if question.caller not in ("", "?", "python", subject.package):
        instead = Instead((f"pip install -U {question.caller}",), _whose(question))
    # Other libraries have a Trainer too, so its name alone tells little.
    named = subject.package in context.near(question)
    if subject.owner in _COMMON and not named:
        a = "an" if subject.owner[0] in "AEIOU" else "a"
        see = f"other libraries have {a} {subject.owner} too; see whose it is: print({subject.owner}.__module__)"
        instead = Instead((*instead.do, see), instead.why, instead.link, instead.now)
    return api_reply.reply(
        question, context, line, _argument(subject.name, name), instead, id=id_,
        generic=subject.owner in _COMMON and not named,
    )  # fmt: skip


def _changed(package: str) -> str:
    return (
        f"a project that asks for it ships a modified {package}, or names a release of its own: install it as "
        "its README says, in an environment of its own"
    )


def _whose(question: Question) -> str:
    owner = api_reply.possessive(question.caller)
    return f"The call is in {owner} own code ({question.frames[-1].module})."


def _by_library(
    question: Question, context: Context, subject: Subject, name: str, fits: Timeline, id_: str
) -> Found | None:
    """Answer where another library's own line made the call, and the user's is not at fault."""
    ends = (f".{subject.owner}({name})", f".{subject.owner}.__init__({name})")
    caller = question.caller
    if caller == "?":  # no traceback: does an installed library make such a call?
        caller = next(
            (
                each
                for each in context.where
                if each != subject.package and _passes(each, subject.package, ends, context)
            ),
            "",
        )
    if caller in ("", "python", subject.package, fits.package):
        return None
    do: tuple[str, ...] = (f"pip install -U {caller}",)
    why = _whose(question) if question.frames else ""
    if caller in api_history.PACKAGES:
        for passes in _calls(caller, subject.package, ends):
            # The source shows calls with the keys of a dictionary at hand, and not every other one.
            told = passes.words().removeprefix("at least ")
            why = f"{why} {caller} passes it at least {told}.".strip()
    wording, instead = _argument(subject.name, name), Instead(do, why, second=True)
    return api_reply.reply(question, context, fits, wording, instead, id=id_, alternative="or: ")


def _calls(caller: str, package: str, ends: tuple[str, ...]) -> list[Timeline]:
    """Return in which releases a library's own code makes a call, one timeline for each such call."""
    history = api_history.history(caller)
    found = [each for each in history.uses if each.startswith(package) and each.endswith(ends)]
    return [history.uses_of(each) for each in found][:1]


def _passes(caller: str, package: str, ends: tuple[str, ...], context: Context) -> bool:
    version = context.installed[caller]
    return any(each.at(version) for each in _calls(caller, package, ends))


def _library_override(
    question: Question, context: Context, subject: Subject, suits: Suits, what: str
) -> Found | None:
    """Answer where a library's class overrides a method that another library now calls otherwise."""
    if subject.method in ("", "__init__"):
        return None
    fixed = {each: context.index(each) for each in api_history.PACKAGES}
    base = next(
        (
            path
            for path in api_subject.lineage(subject, fixed)
            if path.partition(".")[0] != subject.package
            and subject.method
            in api_history.history(path.partition(".")[0]).classes[path].get("methods", {})
        ),
        None,
    )
    if base is None:
        return None
    caller = Subject(base, subject.method)
    passes = api_subject.timelines(caller, context, suits)[0]
    own = api_subject.timelines(subject, context, suits)[0]
    if not passes.ever:
        return None
    states = [
        line.at(context.installed[line.package]) if line.package in context.installed else None
        for line in (own, passes)
    ]
    applies = (
        "no" if states[0] is True or states[1] is False
        else "yes" if states == [False, True]
        else "unknown"
    )  # fmt: skip
    have = " and ".join(
        f"{each} {context.installed[each]}" if each in context.installed else f"{each} (not found)"
        for each in (own.package, passes.package)
    )
    return Found(
        source="api",
        id=f"{subject.package}.{subject.name}",
        title=f"{api_reply.possessive(own.package)} {subject.name} does not take {what}, with which "
        f"{passes.package} calls it",
        applies=applies,
        note=f"{have}; {own.package} takes it {own.words()}, {passes.package} passes it {passes.words()}"
        + (f"; {api_reply.ELSEWHERE}" if applies == "no" else ""),
        words=question.words,
        position=question.position,
        cause=f"{caller.name} has {what} {passes.words(named=True)}; the class that overrides it has "
        f"it {own.words(named=True)}.",
        do=(
            *api_reply.installs(own, context.installed.get(own.package)),
            *(
                f"or: {each}"
                for each in api_reply.installs(
                    passes.negated(), context.installed.get(passes.package)
                )
            ),
        ),
        not_help=(),
        link=api_reply.page(passes.package, passes.spans()[0][0]),
        sure=api_reply.sure(own, passes),
    )


def _own_override(
    question: Question, context: Context, suits: Suits, what: str, add: str
) -> Found | None:
    """Answer where a class of the user's own overrides a method that is now called otherwise."""
    base = _base(question, context, suits)
    if base is None:
        return None
    passes = api_subject.timelines(base, context, suits)[0]
    version = context.installed.get(base.package)
    by_program = "." not in question.owner and question.caller not in ("?", base.package)
    if version and by_program and api_reply.too_old(passes, version):
        # Python 3.9 and older name no class. The call is the program's own, so it may be the base class
        # itself that is older than the program.
        wording = Wording(base.name, f"lacks {what}", f"has {what}", f"had {what}")
        why = Instead(
            why="The program, or the project that you run, was written for a newer release."
        )
        return api_reply.reply(
            question, context, passes, wording, why, id=f"{base.package}.{base.name}"
        )
    now = api_subject.signature(base, {base.package: context.index(base.package)})
    if question.kind == "takes" and isinstance(now, Signature):
        new = now.positional[question.most : question.given]
        if new:
            what = api_reply.listed([f"'{each}'" for each in new])
            add = ", ".join(f"{each}=None" for each in new)
    same = question.owner == base.name
    wording = Wording(
        f"{base.method} of another class named {base.owner}" if same else question.owner,
        f"lacks {what}, passed to it",
        f"has {what}", f"had {what}", about=base.name,
    )  # fmt: skip
    instead = Instead(
        (f"add {add} to your {base.method}, and hand it on to super().{base.method}",),
        _whose_override(question, base),
    )
    return api_reply.reply(
        question, context, passes.negated(), wording, instead, id=f"{base.package}.{base.name}",
        shown=passes, generic=same,
    )  # fmt: skip


def _whose_override(question: Question, base: Subject) -> str:
    if question.owner == base.name:
        return (
            f"The class {base.owner} here is not {api_reply.possessive(base.package)} but another of the "
            f"same name, your own or of the project that you run, that overrides its {base.method}."
        )
    return (
        f"{question.owner} is your own, or of the project that you run, and overrides {base.name}."
    )


def _not_passed(question: Question, context: Context) -> Found | None:
    """Answer where the user's own override demands what an older base class does not pass."""
    name = question.names[0]
    base = _base(question, context, lambda given: given.accepts(name))
    if base is None:
        return None
    passes = api_subject.timelines(base, context, lambda given: given.accepts(name))[0]
    wording = Wording(
        question.owner, f"requires '{name}', not passed to it",
        f"has '{name}'", f"had '{name}'", about=base.name,
    )  # fmt: skip
    instead = Instead(
        (f"give it a default value in your {base.method}: {name}=None",),
        f"{question.owner} is your own, or of the project that you run, and overrides {base.name}.",
    )
    return api_reply.reply(
        question, context, passes, wording, instead, id=f"{base.package}.{base.name}"
    )


def _base(question: Question, context: Context, suits: Suits) -> Subject | None:
    """Return the method that an unknown class most likely overrides; None if several could be it."""
    *owner, method = question.owner.split(".")
    if method.startswith("__") or len(owner) > 1:
        return None
    found = []
    for package in api_history.PACKAGES:
        history = api_history.history(package)
        for path, entry in history.classes.items():
            if method not in entry.get("methods", {}) or not path.endswith(_DERIVED):
                continue
            if owner and not any(path.endswith(e) and owner[0].endswith(e) for e in _DERIVED):
                continue
            subject = Subject(path, method)
            if api_subject.timelines(subject, context, suits)[0].ever:
                found.append(subject)
    framed = {frame.module for frame in question.frames}
    in_frames = [each for each in found if each.path.rpartition(".")[0] in framed]
    if not owner and not in_frames and question.caller != "?":
        return None
    for chosen in (in_frames, found):
        for each in chosen:
            if each.path == _TRAINER:
                return each
        if len(chosen) == 1:
            return chosen[0]
    return None


def _is_model(question: Question) -> bool:
    owner, _, method = question.owner.partition(".")
    if method != "__init__":
        # Python 3.9 and older name no class; the line that calls it is "cls(config, …".
        return (
            question.owner == "__init__"
            and question.caller == "transformers"
            and "cls(config" in question.frames[-1].source
        )
    return api_history.history("transformers").has_model_class(owner)


def _reads_files(subject: Subject, context: Context) -> bool:
    where = {each: context.index(each) for each in api_history.PACKAGES}
    return subject.method == "__init__" and _READER in api_subject.lineage(subject, where)


def _handed_on(
    question: Question, context: Context, subject: Subject, label: str, name: str, why: str
) -> Found | None:
    """Answer where a class refuses what a function took as ``**kwargs`` and handed on to it."""
    taken = api_subject.timelines(subject, context, lambda given: given.accepts(name) is True)[0]
    instead = api_instead.of_argument(question, context, subject, name, misspelt=not taken.ever)
    if not taken.ever and instead.do == (f"leave out {name}=",):
        instead = Instead((*instead.do, _changed(subject.package)))
    return api_reply.reply(
        question, context, taken, _argument(label, name), instead.because(why),
        id=f"{subject.package}.{label}({name})", generic=not taken.ever,
    )  # fmt: skip


def _deciding(lines: Sequence[Timeline]) -> Timeline | None:
    """Return the first line that says yes of one release and no of another, else one that says yes."""
    for line in lines:
        if line.ever and not all(line.states):
            return line
    return next((line for line in lines if line.ever), None)


def _both(one: Timeline, other: Timeline) -> Timeline:
    states = tuple(bool(a and b) for a, b in zip(one.states, other.states, strict=True))
    return Timeline(one.package, one.releases, states)
