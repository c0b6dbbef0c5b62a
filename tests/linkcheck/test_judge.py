"""A use is broken where the history says so, and another release has what it needs."""

from __future__ import annotations

import pytest

from metalassay.bugs.api_history import Signature
from metalassay.linkcheck import judge
from metalassay.linkcheck.uses import Use

UNWRAP = "accelerate.Accelerator"


def broken(use: Use, version: str) -> list[tuple[str, str]]:
    return [(each.kind, each.what) for each in judge.findings(use) if each.broken(version)]


@pytest.mark.parametrize(
    ("version", "there"), [("0.31.0", False), ("0.32.0", True), ("1.15.0", True)]
)
def test_an_imported_name_is_there_since_a_release(version: str, there: bool) -> None:
    use = Use("import", "accelerate.utils.memory.clear_device_cache")
    assert broken(use, version) == ([] if there else [("import", use.target)])


def test_a_name_that_no_release_had_is_noise() -> None:
    assert judge.findings(Use("import", "accelerate.utils.memory.no_such_name")) == ()


@pytest.mark.parametrize(("version", "accepted"), [("0.34.2", True), ("1.0.0", False)])
def test_an_argument_is_accepted_until_a_release(version: str, accepted: bool) -> None:
    use = Use("call", UNWRAP, keywords=("dispatch_batches", "split_batches"))
    expected = (
        [] if accepted else [("argument", "accelerate.Accelerator.__init__(dispatch_batches)")]
    )
    assert broken(use, version) == expected


def test_a_method_of_an_object() -> None:
    use = Use("method", UNWRAP, "unwrap_model", 1, ("keep_torch_compile",))
    assert broken(use, "1.1.1") == [("argument", f"{UNWRAP}.unwrap_model(keep_torch_compile)")]
    assert broken(use, "1.3.0") == []


def test_too_many_positional_arguments() -> None:
    use = Use("method", "transformers.Trainer", "log", 2)
    [(kind, _)] = broken(use, "4.46.3")
    assert kind == "positional"
    assert broken(use, "4.47.0") == []


def test_a_required_argument_that_is_not_given() -> None:
    signature = Signature(("self", "a", "b"), (), frozenset({"a", "b"}), False, False)
    assert judge.lacks(signature, "b", 1, ())
    assert not judge.lacks(signature, "b", 2, ())
    assert not judge.lacks(signature, "b", 1, ("b",))
    assert not judge.lacks(signature, "c", 0, ())


def test_an_attribute_that_a_class_dropped() -> None:
    use = Use("attribute", "transformers.Trainer", "tokenizer")
    assert broken(use, "5.0.0") == [("attribute", "transformers.Trainer.tokenizer")]
    assert broken(use, "4.46.0") == []


def test_a_function_that_a_class_body_imports_is_not_missing() -> None:
    # class Trainer: from .trainer_pt_utils import _get_learning_rate
    assert broken(Use("attribute", "transformers.Trainer", "_get_learning_rate"), "4.51.3") == []


def test_what_every_object_has_is_never_asked() -> None:
    assert judge.findings(Use("attribute", "transformers.Trainer", "__class__")) == ()


def test_packages_without_a_history_are_not_judged() -> None:
    assert judge.findings(Use("import", "huggingface_hub.cached_download")) == ()
