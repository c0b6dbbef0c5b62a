"""What is read of one module: imports, calls, methods of what was made or annotated, overrides."""

from __future__ import annotations

import textwrap

import pytest

from metalassay.linkcheck import module_reader
from metalassay.linkcheck.uses import Module, Use

PROVIDERS = ("accelerate", "transformers")


def module(text: str, name: str = "trl.trainer.x") -> Module:
    path = name.replace(".", "/") + ".py"
    return module_reader.read(textwrap.dedent(text), name, path, PROVIDERS)


def uses(text: str, kind: str) -> list[Use]:
    return [each for each in module(text).uses if each.kind == kind]


def test_an_import_in_a_function_knows_where_it_stands() -> None:
    [found] = uses("def f():\n    from accelerate.utils import memory as m\n", "import")
    assert (found.target, found.function, found.line) == ("accelerate.utils.memory", "f", 2)


def test_an_import_for_types_alone_is_no_use() -> None:
    text = "if TYPE_CHECKING:\n    from accelerate import A\nelse:\n    from accelerate import B\n"
    assert [each.target for each in uses(text, "import")] == ["accelerate.B"]


def test_a_relative_import_is_of_the_package_itself() -> None:
    found = module("from ..models import a\n")
    assert found.uses == []
    assert [each.target for each in found.imports] == ["trl.models.a"]


def test_a_call_has_its_arguments() -> None:
    [found] = uses("import accelerate\naccelerate.Accelerator(1, a=2, **more)\n", "call")
    assert (found.target, found.positional, found.keywords, found.open) == (
        "accelerate.Accelerator", 1, ("a",), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "x = Accelerator()\nx.prepare(1)",
        "def f(x: Accelerator):\n    x.prepare(1)",
        "def f(x: 'Accelerator | None' = None):\n    x.prepare(1)",
        "def f(x: Optional[Accelerator]):\n    x.prepare(1)",
        "class C:\n    def __init__(self):\n        self.x = Accelerator()\n    def g(self):\n        self.x.prepare(1)",
        "class C:\n    x: Accelerator\n    def g(self):\n        self.x.prepare(1)",
        "class C(Trainer):\n    def g(self):\n        self.accelerator.prepare(1)",
    ],
)
def test_a_method_is_found_through_the_class_of_its_object(text: str) -> None:
    text = "from accelerate import Accelerator\nfrom transformers import Trainer\n" + text
    found = [each for each in uses(text, "method") if each.member == "prepare"]
    assert [each.target.rpartition(".")[2] for each in found] == ["Accelerator"]


def test_a_name_that_is_bound_to_two_classes_has_none() -> None:
    text = "from accelerate import A, B\nx = A()\nx = B()\nx.run()\n"
    assert uses(text, "method") == []


def test_a_parameter_hides_a_module_variable() -> None:
    text = "from accelerate import A\nx = A()\ndef f(x):\n    x.run()\n"
    assert uses(text, "method") == []


def test_super_is_the_class_of_the_other_package() -> None:
    text = """\
        from transformers import Trainer
        class Mine(Trainer):
            def log(self, logs):
                super().log(logs, 1)
                self.own()
                self.theirs
            def own(self): ...
        """
    assert [(each.target, each.member, each.positional) for each in uses(text, "method")] == [
        ("transformers.Trainer", "log", 2)
    ]
    assert [each.member for each in uses(text, "attribute")] == ["theirs"]
    assert {each.member: each.signature for each in uses(text, "override")} == {
        "log": "self,logs",
        "own": "self",
    }


def test_conditions_are_collected_from_the_outside_in() -> None:
    text = """\
        def f(self):
            if self.done:
                return
            if is_accelerate_available("1.0"):
                try:
                    from accelerate import a
                except ImportError:
                    from accelerate import b
        """
    found = {each.target: each.conditions for each in uses(text, "import")}
    assert found["accelerate.a"] == (
        "unless self.done", "if is_accelerate_available('1.0')", "try ImportError",
    )  # fmt: skip
    assert found["accelerate.b"][-1] == "handler"


def test_a_condition_within_an_expression_counts() -> None:
    text = "import accelerate\nx = accelerate.a if hasattr(accelerate, 'a') else None\ny = accelerate.b and accelerate.c\n"
    found = {each.target: each.conditions for each in uses(text, "name")}
    assert found["accelerate.a"] == ("if hasattr(accelerate, 'a')",)
    assert found["accelerate.c"] == ("if accelerate.b",)


def test_a_call_that_is_asked_for_true_or_false() -> None:
    text = """\
        from transformers.utils import there
        _x_available = there("x")
        _y_available, version = there("y", return_version=True)
        def f():
            return not there("z")
        """
    assert [each.member for each in uses(text, "truth")] == ["x", "z"]


def test_own_methods_that_are_called_or_passed_on() -> None:
    text = """\
        class T:
            def train(self):
                self.step(1, n=2)
                run(self.step)
            def step(self, a, n): ...
        """
    found = module(text).self_calls
    assert [(each.kind, each.positional, each.keywords) for each in found] == [
        ("self", 1, ("n",)),
        ("callback", 0, ()),
    ]


def test_functions_that_return_a_tuple_wherever_they_return() -> None:
    text = """\
        def a() -> tuple[bool, str]: return x
        def b() -> tuple[bool, str] | bool: return x
        def c():
            if x:
                return 1, 2
            return 3, 4
        def d():
            if x:
                return 1, 2
            return 3
        """
    assert module(text).tuples == {"a", "c"}


def test_text_that_is_not_python_is_refused() -> None:
    with pytest.raises(SyntaxError):
        module("{% x %}")
