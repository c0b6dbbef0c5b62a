"""Conditions: what looks first is guarded, what plain training turns off is not ordinary."""

from __future__ import annotations

import ast
import textwrap

import pytest

from metalassay.linkcheck import guards


@pytest.mark.parametrize(
    "condition",
    [
        "if is_accelerate_available('0.28.0')",
        "if version.parse(accelerate_version) > version.parse('1.3.0')",
        "unless is_transformers_ge_v5",
        "if hasattr(self.accelerator, 'unwrap')",
        "if 'x' in inspect.signature(f).parameters",
        "try ImportError",
        "try ValueError|Exception",
        "handler",
    ],
)
def test_a_look_before_the_import_guards_it(condition: str) -> None:
    assert guards.is_guarded(("if self.a", condition), "import")


@pytest.mark.parametrize(
    "condition", ["if is_peft_available()", "if self.args.x", "try KeyError", "try TypeError"]
)
def test_what_does_not_look_at_the_version_guards_nothing(condition: str) -> None:
    assert not guards.is_guarded((condition,), "import")


def test_a_handler_guards_only_against_its_error() -> None:
    assert guards.is_guarded(("try TypeError",), "call")
    assert not guards.is_guarded(("try ImportError",), "call")
    assert guards.is_guarded(("try AttributeError",), "attribute")


@pytest.mark.parametrize(
    ("condition", "ordinary"),
    [
        ("if self.is_deepspeed_enabled", False),
        ("unless self.is_deepspeed_enabled", True),
        ("if not is_sagemaker_mp_enabled()", True),
        ("if self.args.push_to_hub and self.x", False),
        ("if self.x or self.args.push_to_hub", None),
        ("if is_torch_available()", True),
        ("if isinstance(model, Foo)", None),
        ("if self.quantization_config is not None", False),
        ("if self.quantization_config is None", True),
        ("try ImportError", True),
        ("handler", False),
        ("if (", None),
    ],
)
def test_ordinary_training_meets_a_condition(condition: str, ordinary: bool | None) -> None:
    assert guards.ordinary([condition]) is ordinary


def test_one_condition_that_is_off_decides() -> None:
    assert guards.ordinary(["if self.x", "if self.is_fsdp_enabled"]) is False
    assert guards.ordinary(["if self.x", "if is_torch_available()"]) is None
    assert guards.ordinary([]) is True


@pytest.mark.parametrize(
    ("conditions", "strength"),
    [
        ((), guards.SURE),
        (("if self.x",), guards.UNSURE),
        (("if is_accelerate_available('1.0')",), guards.GUARDED),
        (("if is_accelerate_available('1.0')", "if use_fsdp"), guards.NEVER),
    ],
)
def test_the_strength_of_conditions(conditions: tuple[str, ...], strength: int) -> None:
    assert guards.strength(conditions, "call") == strength


def test_a_handler_that_raises_again_catches_nothing() -> None:
    text = "try:\n    pass\nexcept ImportError:\n    raise RuntimeError\nexcept (KeyError, OSError):\n    pass\n"
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.Try)
    assert guards.caught(node) == "KeyError|OSError"


def test_suppress_catches() -> None:
    node = ast.parse("with contextlib.suppress(ImportError):\n    pass").body[0]
    assert isinstance(node, ast.With)
    assert guards.suppressed(node) == "ImportError"


def test_the_function_and_the_conditions_around_a_line() -> None:
    text = textwrap.dedent(
        """\
        class Trainer:
            def train(self):
                if self.done:
                    return
                try:
                    if self.fast:
                        x = 1
                    else:
                        y = 2
                except TypeError:
                    pass
        """
    )
    assert guards.around(text, 7) == (
        "Trainer.train",
        ("unless self.done", "try TypeError", "if self.fast"),
    )
    assert guards.around(text, 9)[1][-1] == "unless self.fast"
    assert guards.around("x = (", 1) == ("", ())
