"""Answers to errors of programs and libraries that were written for another release."""

from __future__ import annotations

import pytest

from metalassay.bugs import tracebacks
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_answer import find


def answers(text: str, **installed: str) -> tuple[Found, ...]:
    return find(tracebacks.clean(text), installed)


def answer(text: str, **installed: str) -> Found:
    found = answers(text, **installed)
    assert len(found) == 1
    assert found[0].source == "api"
    assert all(len(each) < 300 for each in (found[0].title, *found[0].do))
    return found[0]


def traceback(*frames: tuple[str, str], error: str) -> str:
    lines = ["Traceback (most recent call last):"]
    for path, code in frames:
        lines += [f'  File "{path}", line 12, in run', f"    {code}"]
    return "\n".join([*lines, error])


SITE = "/opt/venv/lib/python3.11/site-packages"
TOKENIZER = "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'"


# Arguments


def test_a_renamed_argument_is_answered_with_the_change_of_the_user_s_own_line() -> None:
    text = f"    trainer = SFTTrainer(model=model, tokenizer=tok, args=args)\n{TOKENIZER}"
    found = answer(text, trl="0.16.0")
    assert found.applies == "yes"
    assert (
        found.title
        == "SFTTrainer takes no 'tokenizer' since trl 0.16.0: it is processing_class now"
    )
    assert found.do == (
        "write processing_class=tok instead of tokenizer=tok",
        "or keep the program as it is: pip install 'trl==0.15.2'",
    )
    assert "trl 0.16.0 is installed" in found.note
    assert found.link == "https://github.com/huggingface/trl/pull/2162"
    assert found.sure.startswith("read in the source of all 97 releases of trl")


def test_an_installed_release_that_takes_the_argument_is_no_explanation() -> None:
    found = answer(TOKENIZER, trl="0.15.2")
    assert found.applies == "no"
    assert "another environment" in found.note
    assert not any("pip install" in each for each in found.do)


def test_without_a_version_both_sides_are_told() -> None:
    found = answer(TOKENIZER)
    assert found.applies == "unknown"
    assert found.note == "trl not found here; SFTTrainer took 'tokenizer' from 0.4.2 to 0.15.2"


def test_a_new_argument_in_an_old_release_gets_its_old_name() -> None:
    error = (
        "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'eval_strategy'"
    )
    found = answer(error, transformers="4.40.2")
    assert (found.applies, found.do[0]) == (
        "yes",
        "write evaluation_strategy= instead of eval_strategy=",
    )
    assert "pip install 'transformers>=4.41.0'" in found.do[1]


def test_the_release_of_the_base_class_decides_about_an_inherited_argument() -> None:
    error = (
        "TypeError: SFTConfig.__init__() got an unexpected keyword argument 'evaluation_strategy'"
    )
    found = answer(error, trl="0.16.1", transformers="4.57.1")
    assert found.applies == "yes"
    assert "since transformers 4.51.0" in found.title
    assert found.do[0] == "write eval_strategy= instead of evaluation_strategy="
    assert answer(error, trl="0.16.1", transformers="4.49.0").applies == "no"


@pytest.mark.parametrize(
    ("version", "place"), [("0.25.1", "max_length=512"), ("0.14.0", "max_seq_length=512")]
)
def test_an_argument_that_moved_is_shown_in_its_new_place_of_that_release(
    version: str, place: str
) -> None:
    text = (
        "SFTTrainer(model, max_seq_length=512)\n"
        "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'max_seq_length'"
    )
    assert answer(text, trl=version).do[0] == f"pass it to SFTConfig: args=SFTConfig({place})"


def test_an_argument_that_moved_to_the_configuration_is_found_in_the_data() -> None:
    text = "TypeError: DPOTrainer.__init__() got an unexpected keyword argument 'beta'"
    found = answer(text, trl="0.13.0", transformers="4.47.1")
    assert found.do[0] == "pass it to DPOConfig: args=DPOConfig(beta=…)"


def test_a_misspelt_argument_gets_the_nearest_one() -> None:
    text = (
        "TypeError: TrainingArguments.__init__() got an unexpected keyword argument 'learning_rat'"
    )
    found = answer(text, transformers="4.52.4")
    assert found.do == ("write learning_rate= instead of learning_rat= if that is what you mean",)
    assert found.applies == "yes"


def test_kwargs_that_may_take_an_argument_are_not_claimed_to_refuse_it() -> None:
    text = "TypeError: GenerationConfig.__init__() got an unexpected keyword argument 'anything'"
    assert answers(text, transformers="4.52.4") == ()


def test_python_3_9_names_no_class_and_the_line_of_the_call_does() -> None:
    text = traceback(
        ("/home/me/train.py", "trainer = SFTTrainer("),
        error="TypeError: __init__() got an unexpected keyword argument 'tokenizer'",
    )
    assert answer(text, trl="0.16.0").id == "trl.SFTTrainer(tokenizer)"
    assert answers("TypeError: __init__() got an unexpected keyword argument 'tokenizer'") == ()


def test_underscores_that_markdown_took_are_put_back() -> None:
    text = "TypeError: SFTTrainer.init() got an unexpected keyword argument tokenizer"
    assert answer(text, trl="0.16.0").applies == "yes"


def test_a_model_that_refuses_an_argument_of_from_pretrained() -> None:
    text = "TypeError: LlamaForCausalLM.__init__() got an unexpected keyword argument 'dtype'"
    found = answer(text, transformers="4.55.4")
    assert found.applies == "yes"
    assert found.title == "from_pretrained takes no 'dtype' before transformers 4.56.0"
    assert found.do[0] == "write torch_dtype= instead of dtype="
    assert answer(text, transformers="4.56.1").applies == "no"


def test_a_reader_of_files_that_refuses_an_argument_of_load_dataset() -> None:
    text = "TypeError: JsonConfig.__init__() got an unexpected keyword argument 'use_auth_token'"
    found = answer(text, datasets="3.2.0")
    assert (
        found.title
        == "load_dataset takes no 'use_auth_token' since datasets 3.0.0: it is token now"
    )


def test_an_argument_that_is_newer_than_the_installed_release_means_an_upgrade() -> None:
    text = "TypeError: LoraConfig.__init__() got an unexpected keyword argument 'use_dora'"
    found = answer(text, peft="0.8.2")
    assert found.do == ("pip install 'peft>=0.9.0'", "or: leave out use_dora=")


def test_a_call_by_position_is_answered_with_names() -> None:
    text = "TypeError: Trainer.__init__() takes from 1 to 12 positional arguments but 14 were given"
    found = answer(text, transformers="4.45.2")
    assert found.do[0].startswith(
        "pass the arguments by their names; by position it takes model, args"
    )


# Two libraries


ACCELERATOR = (
    "TypeError: Accelerator.__init__() got an unexpected keyword argument 'dispatch_batches'"
)


def test_a_call_in_a_library_s_own_code_is_a_matter_of_two_versions() -> None:
    text = traceback(
        ("/home/me/train.py", "trainer = Trainer(model)"),
        (f"{SITE}/transformers/trainer.py", "self.accelerator = Accelerator("),
        error=ACCELERATOR,
    )
    found = answer(text, transformers="4.37.2", accelerate="1.1.1")
    assert found.applies == "yes"
    assert found.do == (
        "pip install -U transformers",
        "or: pip install 'accelerate==0.34.2'",
    )
    assert "transformers' own code (transformers.trainer)" in found.cause


def test_without_a_traceback_the_installed_library_that_makes_the_call_is_named() -> None:
    found = answer(ACCELERATOR, transformers="4.37.2", accelerate="1.1.1")
    assert found.do[0] == "pip install -U transformers"
    assert "transformers passes it at least from 4.32.0" in found.cause
    alone = answer(ACCELERATOR, accelerate="1.1.1")
    assert "DataLoaderConfiguration" in alone.do[0]


def test_a_name_that_another_library_imports() -> None:
    text = (
        "ImportError: cannot import name 'clear_device_cache' from 'accelerate.utils.memory' "
        f"({SITE}/accelerate/utils/memory.py)"
    )
    found = answer(text, accelerate="0.31.0", peft="0.17.1")
    assert found.applies == "yes"
    assert found.do == ("pip install 'accelerate>=0.32.0'", "or: pip install 'peft==0.14.0'")
    assert "peft 0.17.1 imports it" in found.cause


def test_a_library_s_override_that_another_library_calls_with_more() -> None:
    text = (
        "TypeError: GRPOTrainer._get_train_sampler() takes 1 positional argument but 2 were given"
    )
    found = answer(text, trl="0.16.1", transformers="4.52.4")
    assert found.applies == "yes"
    assert found.do == ("pip install 'trl>=0.18.0'", "or: pip install 'transformers==4.51.3'")
    assert answer(text, trl="0.16.1", transformers="4.51.3").applies == "no"
    assert answer(text, trl="0.16.1").applies == "unknown"


# The user's own classes


def test_an_override_of_the_user_s_own_is_called_theirs() -> None:
    text = "TypeError: MyTrainer.compute_loss() got an unexpected keyword argument 'num_items_in_batch'"
    found = answer(text, transformers="4.48.0")
    assert found.applies == "yes"
    assert "since transformers 4.46.0" in found.title
    assert "is your own" in found.cause
    assert found.do[0].startswith("add num_items_in_batch=None to your compute_loss")
    assert answer(text, transformers="4.45.2").applies == "no"


def test_an_override_without_a_new_positional_parameter() -> None:
    text = "TypeError: main.<locals>.MyTrainer.log() takes 2 positional arguments but 3 were given"
    found = answer(text, transformers="4.52.4")
    assert found.title == "MyTrainer.log lacks 'start_time', passed to it since transformers 4.47.0"


def test_an_override_that_demands_what_an_older_base_does_not_pass() -> None:
    text = (
        "TypeError: MyTrainer.compute_loss() missing 1 required positional argument: "
        "'num_items_in_batch'"
    )
    found = answer(text, transformers="4.45.2")
    assert (found.applies, found.do[0]) == (
        "yes",
        "give it a default value in your compute_loss: num_items_in_batch=None",
    )


def test_a_class_that_nothing_is_known_of_is_not_answered() -> None:
    for text in (
        "TypeError: Widget.__init__() got an unexpected keyword argument 'tokenizer'",
        "TypeError: main() got an unexpected keyword argument 'tokenizer'",
        "TypeError: MyTrainer.shuffle_cards() takes 1 positional argument but 2 were given",
        "AttributeError: 'NoneType' object has no attribute 'generate'",
        "AttributeError: 'dict' object has no attribute 'seen_tokens'",
        "ImportError: cannot import name 'url_quote' from 'werkzeug.urls'",
        "ModuleNotFoundError: No module named 'transformers_extra.deepspeed'",
    ):
        assert answers(text, transformers="4.52.4", trl="0.16.1") == ()


# Names, modules, attributes


def test_a_missing_argument_that_a_release_began_to_require() -> None:
    text = (
        "TypeError: GRPOTrainer.__init__() missing 1 required positional argument: 'reward_funcs'"
    )
    found = answer(text, trl="0.16.1")
    assert found.applies == "yes"
    assert found.do[0] == "pass reward_funcs=… to GRPOTrainer"


def test_a_name_that_is_gone_has_its_replacement() -> None:
    text = f"ImportError: cannot import name 'AdamW' from 'transformers' ({SITE}/transformers/__init__.py)"
    found = answer(text, transformers="4.52.4")
    assert found.do[0] == "write: from torch.optim import AdamW"
    assert "since transformers 4.50.0" in found.title
    there = answer(text, transformers="4.49.0")
    assert there.applies == "unknown"
    assert there.title == (
        "transformers 4.49.0 has what is missing: Python imported the files of another release"
    )


def test_a_name_that_moved_is_found_in_its_new_module() -> None:
    text = "cannot import name 'apply_chunking_to_forward' from 'transformers.modeling_utils'"
    found = answer(text, transformers="5.0.0")
    assert found.do[0] == "write: from transformers import apply_chunking_to_forward"


def test_a_name_that_a_third_library_imports_is_that_library_s_matter() -> None:
    text = traceback(
        (f"{SITE}/FlagEmbedding/model.py", "from transformers.utils import is_torch_fx_available"),
        error="ImportError: cannot import name 'is_torch_fx_available' from 'transformers.utils'",
    )
    found = answer(text, transformers="5.0.0")
    assert found.do[0] == "pip install -U FlagEmbedding"
    assert found.do[1] == "or: pip install 'transformers==4.57.6'"


def test_a_module_that_is_gone() -> None:
    text = "ModuleNotFoundError: No module named 'transformers.deepspeed'"
    found = answer(text, transformers="4.52.4")
    assert found.do[0] == "import it from transformers.integrations.deepspeed"
    assert "since transformers 4.46.0" in found.title


def test_an_attribute_that_is_gone() -> None:
    text = "AttributeError: 'DynamicCache' object has no attribute 'seen_tokens'"
    found = answer(text, transformers="4.57.1")
    assert "get_seq_length()" in found.do[0]
    assert found.generic  # no frame of transformers is in the text
    assert answers(text, transformers="4.41.2") == ()  # there, so the object's state is the matter


def test_a_lazy_module_s_own_wording() -> None:
    text = "AttributeError: module transformers has no attribute AdamW"
    assert answer(text, transformers="4.52.4").applies == "yes"
    submodule = "AttributeError: module 'transformers' has no attribute 'trainer'"
    assert answers(submodule, transformers="4.52.4") == ()


def test_a_file_of_the_user_s_hides_the_library() -> None:
    text = (
        "ImportError: cannot import name 'load_dataset' from partially initialized module 'datasets' "
        "(most likely due to a circular import) (/home/me/datasets.py)"
    )
    found = answer(text, datasets="3.0.0")
    assert found.id == "datasets-hidden-by-a-file"
    assert found.do[0].startswith("rename /home/me/datasets.py")


def test_a_circle_of_imports_inside_the_library_says_nothing_about_releases() -> None:
    text = (
        "ImportError: cannot import name 'Trainer' from partially initialized module 'transformers' "
        f"(most likely due to a circular import) ({SITE}/transformers/__init__.py)"
    )
    assert answers(text, transformers="4.52.4") == ()


def test_a_name_that_no_release_has_may_be_newer_than_the_data() -> None:
    text = f"ImportError: cannot import name 'Qwen99Model' from 'transformers' ({SITE}/transformers/__init__.py)"
    found = answer(text, transformers="4.52.4")
    assert "in any release from" in found.title
    assert found.do[-1].endswith("pip install -U transformers")


def test_a_library_that_still_imports_what_is_gone_is_upgraded() -> None:
    text = f"ImportError: cannot import name 'HybridCache' from 'transformers' ({SITE}/transformers/__init__.py)"
    found = answer(text, transformers="5.0.0", peft="0.17.1")
    assert found.do[0] == "pip install 'peft>=0.18.0'"
    assert "peft 0.17.1 imports it" in found.cause


def test_a_head_s_model_has_what_its_two_bases_have() -> None:
    text = "AttributeError: 'LlamaForCausalLM' object has no attribute 'generate'"
    assert answers(text, transformers="4.52.4") == ()
    headless = answer(text.replace("LlamaForCausalLM", "LlamaModel"), transformers="4.52.4")
    assert "load a model with a head" in " ".join(headless.do)


# Texts


def test_a_message_that_a_terminal_wrapped_is_read() -> None:
    wrapped = TOKENIZER.replace("got an", "got\nan").replace("keyword ", "keyword\n")
    assert answer(wrapped, trl="0.16.0").applies == "yes"


def test_a_string_in_a_source_line_is_no_error() -> None:
    assert answers(f'    raise TypeError("{TOKENIZER}', trl="0.16.0") == ()


def test_the_same_error_of_many_ranks_is_answered_once_at_its_last_place() -> None:
    text = "\n".join(f"[rank{rank}]: {TOKENIZER}" for rank in range(8))
    found = answer(text, trl="0.16.0")
    assert found.position > text.index("[rank7]")
    assert found.words.startswith("[rank7]")


def test_long_runs_of_what_patterns_begin_with_are_read_quickly() -> None:
    for run in ("a" * 200_000, "<" * 200_000, "a." * 100_000, "got an " * 50_000, "'" * 200_000):
        assert answers(run, trl="0.16.0") == ()
        assert answers(f"{run}\n{TOKENIZER}", trl="0.16.0")


# Other words, other owners


def test_datasets_own_words_for_an_argument_that_it_does_not_know() -> None:
    text = "ValueError: BuilderConfig ParquetConfig(name='default', data_files=None) doesn't have a 'use_auth_token' key."
    found = answer(text, datasets="3.5.0")
    assert found.id == "datasets.load_dataset(use_auth_token)"
    assert found.applies == "yes"
    assert found.do[0].startswith("write token=")


def test_what_belongs_to_the_trainer_s_own_configuration() -> None:
    text = traceback(
        (f"{SITE}/trl/trainer/dpo_trainer.py", "trainer = DPOTrainer(args=args)"),
        error="AttributeError: 'TrainingArguments' object has no attribute 'model_init_kwargs'",
    )
    found = answer(text, transformers="4.46.2", trl="0.12.0")
    assert "wants DPOConfig as args" in found.title
    assert "from trl import DPOConfig" in found.do[0]
    unnamed = answer(
        "AttributeError: 'TrainingArguments' object has no attribute 'model_init_kwargs'",
        transformers="4.46.2",
        trl="0.12.0",
    )
    assert "one of " in unnamed.do[0]
    assert "DPOConfig" in unnamed.do[0]
    assert not answers(
        "AttributeError: 'TrainingArguments' object has no attribute 'colour'", trl="0.12.0"
    )


def test_a_configuration_derived_from_the_library_s_has_its_arguments() -> None:
    text = traceback(
        (f"{SITE}/axolotl/cli/train.py", "return do_train(parsed_cfg, parsed_cli_args)"),
        error="TypeError: AxolotlGRPOConfig.__init__() got an unexpected keyword argument "
        "'max_prompt_length'",
    )
    found = answer(text, trl="0.28.0")
    assert found.applies == "yes"
    assert found.do[0] == "pip install -U axolotl"
    assert not answers("TypeError: MyConfig.__init__() got an unexpected keyword argument 'a'")


def test_an_argument_of_every_release_read_means_an_older_one() -> None:
    text = "TypeError: Accelerator.unwrap_model() got an unexpected keyword argument 'keep_fp32_wrapper'"
    found = answer(text)
    assert "must be older than 0.20.0" in found.title
    assert "pip install -U 'accelerate>=0.20.0'" in found.do[0]


def test_a_base_class_that_is_older_than_the_program_and_the_record() -> None:
    frames = (
        (f"{SITE}/transformers/trainer.py", "self._save_checkpoint(model, trial)"),
        (f"{SITE}/amrlib/trainer.py", "self.save_model(new, _internal_call=True)"),
    )
    error = "TypeError: save_model() got an unexpected keyword argument '_internal_call'"
    found = answer(traceback(*frames, error=error), transformers="4.11.3")
    assert "transformers 4.11.3, which is too old" in found.title
    assert "pip install -U 'transformers>=" in found.do[0]


def test_a_deprecated_class_that_hands_all_on_is_no_release_to_install() -> None:
    text = "TypeError: PPOTrainer.__init__() missing 2 required positional arguments: 'reward_model' and 'train_dataset'"
    found = answer(text, trl="0.13.0")
    assert "or keep the program as it is: pip install 'trl==0.11.4'" in found.do


def test_a_pin_that_leads_to_a_known_bug_says_so_and_comes_last() -> None:
    text = "TypeError: DPOTrainer.get_batch_samples() takes 3 positional arguments but 4 were given"
    found = answer(text, trl="0.9.6", transformers="4.52.4")
    assert found.do[0] == "pip install 'trl>=0.12.0'"
    assert found.do[-1].endswith("(then comes the known bug dpotrainer-transformers-4-46)")


def test_what_went_and_came_back_is_first_looked_for_in_the_older_releases() -> None:
    modules = "/root/.cache/huggingface/modules/transformers_modules/microsoft/phi/modeling_phi3.py"
    text = traceback(
        (modules, "max_cache_length = past_key_values.get_max_length()"),
        error="AttributeError: 'DynamicCache' object has no attribute 'get_max_length'",
    )
    found = answer(text, transformers="4.52.4")
    assert "trust_remote_code" in found.do[0]
    pins = [each for each in found.do if "pip install" in each]
    assert "'transformers==4.48.3'" in pins[0]


def test_a_name_that_went_and_came_back_is_told_so_without_a_version() -> None:
    text = "ImportError: cannot import name 'is_torch_tpu_available' from 'transformers.utils'"
    found = answer(text)
    assert "after transformers 4.50.3 and before 5.9.0" in found.title
    assert "'transformers==4.50.3'" in next(each for each in found.do if "pip install" in each)
