"""Which release has which name and argument: the data's own rules, and facts that others know."""

from __future__ import annotations

import re

import pytest

from metalassay.bugs import api_history
from metalassay.bugs.api_history import Method, Rename, Signature, Timeline, indices, parse

RELEASES = ("1.0", "1.1", "2.0", "2.1")
NEWEST = {
    package: len(api_history.history(package).releases) - 1 for package in api_history.PACKAGES
}


def line(*states: bool | None) -> Timeline:
    return Timeline("lib", RELEASES, states)


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ((True, True, False, False), "until 1.1"),
        ((False, False, True, True), "since 2.0"),
        ((False, True, True, False), "from 1.1 to 2.0"),
        ((False, True, False, True), "in 1.1 alone and since 2.1"),
        ((True, True, True, True), "in every release from 1.0 to 2.1"),
        ((False, False, False, False), "in no release from 1.0 to 2.1"),
        ((True, True, None, None), "at least until 1.1"),
        ((False, None, True, True), "at least since 2.0"),
    ],
)
def test_a_timeline_is_told_in_words(states: tuple[bool | None, ...], words: str) -> None:
    assert line(*states).words() == words


def test_with_its_name_a_package_stands_before_the_first_version() -> None:
    assert line(True, False, False, True).words(named=True) == "until lib 1.0 and since lib 2.1"


def test_the_next_releases_that_have_something_are_found_on_both_sides() -> None:
    gap = line(True, False, False, True)
    assert (gap.before("1.1"), gap.after("1.1")) == ("1.0", "2.1")
    assert (gap.before("1.0"), gap.after("2.1")) == (None, None)


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("2.0", (2,)),
        ("2.0+cpu", (2,)),
        ("1.5", (1, 2)),
        ("2.0rc1", (1, 2)),
        ("3.0", (3,)),
        ("0.9", ()),
        ("unknown", ()),
    ],
)
def test_a_version_that_is_not_listed_stands_between_its_neighbours(
    version: str, found: tuple[int, ...]
) -> None:
    assert indices(RELEASES, version) == found


def test_between_two_releases_only_what_both_agree_on_is_known() -> None:
    assert line(True, True, False, False).at("1.0.5") is True
    assert line(True, True, False, False).at("1.5") is None


def test_a_signature_is_read_back() -> None:
    found = parse("self,model,/,args=,*rest,tokenizer=,**kwargs;old;a>b,c>")
    assert found is not None
    assert found.positional == ("self", "model", "args")
    assert found.keyword_only == ("tokenizer",)
    assert found.required == {"model"}
    assert (found.any_positional, found.any_keyword) == (True, True)
    assert found.renamed == {"a": "b", "c": ""}
    assert [found.accepts(each) for each in ("tokenizer", "old", "a", "new")] == [
        True,
        True,
        True,
        None,
    ]
    assert parse("?") is None


def test_without_kwargs_an_unknown_argument_is_refused() -> None:
    found = parse("self,a")
    assert found is not None
    assert found.accepts("b") is False


def accepted(package: str, path: str, name: str, method: str = "__init__") -> Timeline:
    """Return the releases that take an argument, those of other packages being the newest."""
    history = api_history.history(package)

    def state(index: int) -> bool | None:
        if path in history.functions:
            told = history.function(path, index)
            return told.accepts(name) if isinstance(told, Signature) else told
        found = api_history.method(path, method, {**NEWEST, package: index})
        if not isinstance(found, Method):
            return found
        return found.signature.accepts(name) if found.signature else None

    return history.timeline(state)


@pytest.mark.parametrize(
    ("package", "path", "method", "name", "words"),
    [
        ("trl", "trl.trainer.sft_trainer.SFTTrainer", "__init__", "tokenizer", "from 0.4.2 to 0.15.2"),
        ("trl", "trl.trainer.sft_config.SFTConfig", "__init__", "max_seq_length", "from 0.9.2 to 0.19.1"),
        ("accelerate", "accelerate.accelerator.Accelerator", "__init__", "dispatch_batches", "until 0.34.2"),
        ("transformers", "transformers.training_args.TrainingArguments", "__init__", "eval_strategy", "since 4.41.0"),
        ("transformers", "transformers.training_args.TrainingArguments", "__init__", "use_mps_device", "until 4.57.6"),
        ("transformers", "transformers.training_args.TrainingArguments", "__init__", "no_cuda", "until 4.57.6"),
        ("transformers", "transformers.trainer.Trainer", "__init__", "processing_class", "since 4.46.0"),
        ("transformers", "transformers.trainer.Trainer", "compute_loss", "num_items_in_batch", "since 4.46.0"),
        ("transformers", "transformers.trainer.Trainer", "log", "start_time", "since 4.47.0"),
        ("transformers", "transformers.trainer.Trainer", "_get_train_sampler", "train_dataset", "since 4.52.0"),
        ("transformers", "transformers.modeling_utils.PreTrainedModel", "from_pretrained", "dtype", "at least since 4.56.0"),
    ],
)  # fmt: skip
def test_arguments_came_and_went_where_the_projects_say_so(
    package: str, path: str, method: str, name: str, words: str
) -> None:
    assert accepted(package, path, name, method).words() == words


@pytest.mark.parametrize(
    ("package", "module", "name", "words"),
    [
        ("accelerate", "accelerate.utils.memory", "clear_device_cache", "since 0.32.0"),
        ("transformers", "transformers", "AdamW", "until 4.49.0"),
        ("trl", "trl", "PPOConfig", "until 0.28.0"),
        ("datasets", "datasets", "load_metric", "until 2.21.0"),
        ("peft", "peft", "prepare_model_for_int8_training", "until 0.9.0"),
    ],
)
def test_names_came_and_went_where_the_projects_say_so(
    package: str, module: str, name: str, words: str
) -> None:
    assert api_history.history(package).name(module, name).words() == words


def test_a_class_takes_the_fields_of_its_base_in_the_installed_release() -> None:
    path = "trl.trainer.sft_config.SFTConfig"
    for version, expected in (("4.49.0", True), ("4.57.1", False)):
        where = api_history.environment({"trl": "0.16.1", "transformers": version})
        found = api_history.method(path, "__init__", where)
        assert isinstance(found, Method)
        assert found.signature is not None
        assert found.signature.accepts("evaluation_strategy") is expected
        assert found.signature.accepts("dataset_text_field") is True


def test_without_the_release_of_a_base_in_another_package_nothing_is_claimed() -> None:
    where = api_history.environment({"trl": "0.16.1"})
    found = api_history.method("trl.trainer.sft_config.SFTConfig", "__init__", where)
    assert isinstance(found, Method)
    assert found.signature is None


def test_what_a_lazy_module_may_answer_for_is_unknown_not_missing() -> None:
    line = api_history.history("transformers").name("transformers", "BertTokenizerFast")
    assert line.at("4.57.1") is True
    assert line.at("5.0.0") is None


def test_a_model_s_module_is_known_by_what_it_defines() -> None:
    history = api_history.history("transformers")
    llama = "transformers.models.llama.modeling_llama"
    assert history.name(llama, "LlamaFlashAttention2").words() == "from 4.34.0 to 4.47.1"
    assert history.name(llama, "nowhere").at("4.52.4") is None


def test_libraries_are_known_by_what_they_import_and_pass() -> None:
    assert (
        api_history.history("peft")
        .uses_of("accelerate.utils.memory.clear_device_cache")
        .at("0.17.1")
    )
    passes = api_history.history("transformers").uses_of("accelerate.Accelerator(dispatch_batches)")
    assert passes.at("4.37.2")
    assert not passes.at("4.40.2")


def had(rename: Rename) -> bool:
    """Return whether some release had what a rename is about."""
    history = api_history.history(rename.package)
    if call := re.fullmatch(r"([\w.]+)\((\w+)\)", rename.what):
        return takes(rename.package, call[1], call[2])
    if rename.what.startswith(f"{rename.package}."):
        module, _, name = rename.what.rpartition(".")
        return history.name(module, name).ever or history.module(rename.what).ever
    owner, name = rename.what.split(".")
    return any(
        api_history.has_attribute(path, name, {**NEWEST, rename.package: index})
        for path in history.paths(owner)
        for index in range(len(history.releases))
    )


def takes(package: str, callee: str, name: str) -> bool:
    owner, _, method = callee.partition(".")
    paths = api_history.history(package).paths(owner)
    return any(accepted(package, path, name, method or "__init__").ever for path in paths)


OLDER = {
    "Accelerator(logging_dir)",
    "Accelerator(fp16)",
    "TrainingArguments(evaluate_during_training)",
}


@pytest.mark.parametrize("rename", api_history.renames(), ids=lambda rename: rename.what)
def test_a_kept_rename_is_about_something_that_a_release_had(rename: Rename) -> None:
    if rename.what in OLDER:
        pytest.skip("it was removed before the oldest release that was read")
    assert had(rename)
    assert rename.link.startswith("https://github.com/huggingface/")
    assert rename.now or rename.do


@pytest.mark.parametrize(
    "rename",
    [each for each in api_history.renames() if each.now and "(" in each.what],
    ids=lambda rename: f"{rename.what}={rename.now}",
)
def test_the_new_name_of_an_argument_is_one_that_a_release_takes(rename: Rename) -> None:
    callee = rename.what.partition("(")[0]
    owner, _, name = rename.now.rstrip(")").rpartition("(")
    assert takes(rename.package, owner or callee, name)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [  # each was tried: 4.31.0, 4.46.1, 4.52.4, 4.57.6, 5.0.0, 5.15.0
        ("transformers", "is_torch_available", "in every release"),
        ("transformers", "requires_backends", "in every release"),  # among flax's stand-ins till 5
        ("transformers", "OptionalDependencyNotAvailable", "in no release"),
        ("transformers", "_LazyModule", "in no release"),
        ("transformers", "DiaGenerationMixin", "in no release"),  # for type checkers alone
        ("transformers", "Trainer", "in every release"),
        ("transformers.utils", "requires_backends", "in every release"),
        ("transformers.tokenization_utils", "PreTrainedTokenizer", "in every release"),
        ("trl", "SFTTrainer", "since trl 0.4.2"),
        ("trl", "is_peft_available", "until trl 0.10.1"),
    ],
)
def test_a_lazy_module_exports_what_it_lists(module: str, name: str, words: str) -> None:
    line = api_history.history(module.partition(".")[0]).name(module, name)
    assert line.words(named=True).startswith(words)


def test_old_modules_of_fast_image_processors_may_be_answered_for() -> None:
    history = api_history.history("transformers")
    module = "transformers.models.clip.image_processing_clip_fast"
    assert (history.module(module).at("4.57.6"), history.module(module).at("5.15.0")) == (
        True,
        None,
    )
    assert history.name(module, "CLIPImageProcessorFast").at("5.15.0") is None
