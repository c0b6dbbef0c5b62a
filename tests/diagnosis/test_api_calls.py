"""Arguments that a release does not take, needs, or counts otherwise."""

from __future__ import annotations

import pytest

from metalassay.diagnosis import api_calls
from metalassay.diagnosis.answers import Found
from metalassay.diagnosis.api_question import questions
from metalassay.diagnosis.api_reply import Context


@pytest.mark.parametrize(
    ("trl", "applies"), [("0.16.0", "yes"), ("0.15.2", "no"), (None, "unknown")]
)
def test_whether_a_release_takes_an_argument_decides(trl: str | None, applies: str) -> None:
    text = "TypeError: SFTTrainer.__init__() got an unexpected keyword argument 'tokenizer'"
    [question] = questions(text)
    found = api_calls.unexpected(question, Context.of(text, {"trl": trl} if trl else {}))
    assert found is not None
    assert found.applies == applies


def unexpected(text: str, **installed: str) -> Found | None:
    [question] = questions(text)
    return api_calls.unexpected(question, Context.of(text, installed))


UNNAMED = "TypeError: __init__() got an unexpected keyword argument '{}'"


def test_an_argument_without_a_class_is_that_of_training_arguments_in_a_release_without_it() -> (
    None
):
    found = unexpected(UNNAMED.format("eval_strategy"), transformers="4.30.0")
    assert found is not None
    assert found.title.startswith("TrainingArguments takes no 'eval_strategy' before")
    assert found.generic
    assert unexpected(UNNAMED.format("eval_strategy"), transformers="4.46.0") is None
    assert unexpected(UNNAMED.format("eval_strategy")) is None
    assert unexpected(UNNAMED.format("learning_rate"), transformers="4.2.2") is None


def test_a_release_older_than_all_that_were_read_is_too_old_if_the_oldest_of_them_fits() -> None:
    found = unexpected(UNNAMED.format("save_strategy"), transformers="4.2.2")
    assert found is not None
    assert found.applies == "unknown"
    assert "which is too old" in found.title
    assert "pip install -U" in found.do[0]
    gone = unexpected(UNNAMED.format("evaluation_strategy"), transformers="3.1.0")
    assert gone is not None
    assert "transformers==4.50.3" in gone.do[0]
    assert "eval_strategy" not in gone.title.replace("evaluation_strategy", "")


def test_a_method_that_the_installed_release_has_otherwise_is_another_class() -> None:
    text = "TypeError: Trainer.training_step() takes 3 positional arguments but 4 were given"
    [question] = questions(text)
    found = api_calls.takes(question, Context.of(text, {"transformers": "4.46.3"}))
    assert found is not None
    assert found.applies == "yes"
    assert found.generic
    assert found.title.startswith("training_step of another class named Trainer lacks")
    assert "num_items_in_batch=None" in found.do[0]


def test_the_name_trainer_alone_does_not_tell_whose_it_is() -> None:
    text = "TypeError: Trainer.__init__() got an unexpected keyword argument 'max_epochs'"
    found = unexpected(text, transformers="4.40.0")
    assert found is not None
    assert found.generic
    assert "print(Trainer.__module__)" in found.do[-1]


def test_what_no_release_takes_is_said_of_the_releases_that_were_read() -> None:
    text = "TypeError: Accelerator.__init__() got an unexpected keyword argument 'logging_dir'"
    found = unexpected(text, accelerate="0.20.3")
    assert found is not None
    assert "in any release from 0.20.0 to" in found.title
    assert "project_dir=" in found.do[0]
