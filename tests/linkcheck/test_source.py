"""A package's source: where a name is defined, what a class inherits, what is left out."""

from __future__ import annotations

import zipfile
from pathlib import Path

from packages_on_disk import read

from metalassay.linkcheck import source
from metalassay.linkcheck.uses import Module

BASE = {
    "__init__.py": "from .base import Base as Other\n",
    "base.py": "from transformers import Trainer\nclass Base(Trainer):\n    def log(self): ...\n    def mine(self): ...\n",
    "sft.py": "from . import Other\nclass SFT(Other):\n    def log(self, x): ...\n    def run(self):\n        self.mine()\n        self.theirs()\n",
}


def test_a_name_is_followed_to_where_it_is_defined(tmp_path: Path) -> None:
    package = read(tmp_path, "trl", BASE)
    assert package.resolve("trl.Other") == "trl.base.Base"
    assert package.resolve("trl.sft.Other.log") == "trl.base.Base.log"
    assert package.resolve("transformers.Trainer") == "transformers.Trainer"
    assert package.resolve("trl.nothing.here") == "trl.nothing.here"


def test_a_lazy_package_finds_what_one_module_below_it_defines(tmp_path: Path) -> None:
    package = read(
        tmp_path, "trl", {"__init__.py": "x = _LazyModule()\n", "a.py": "class Only: ...\n"}
    )
    assert package.resolve("trl.Only") == "trl.a.Only"


def test_what_is_inherited_within_the_package_is_not_asked_of_another(tmp_path: Path) -> None:
    package = read(tmp_path, "trl", BASE)
    assert package.foreign_base("trl.sft.SFT") == "transformers.Trainer"
    methods = {each.member for each in package.uses() if each.kind == "method"}
    assert methods == {"theirs"}
    overrides = {
        (each.member, each.signature) for each in package.uses() if each.kind == "override"
    }
    assert ("log", "self,x") in overrides


def test_two_bases_are_not_followed(tmp_path: Path) -> None:
    text = "from transformers import Trainer\nclass A(Mixin, Trainer):\n    def f(self):\n        self.g()\n"
    package = read(tmp_path, "trl", {"a.py": text})
    assert [each.kind for each in package.uses() if each.member == "g"] == []


def test_a_field_of_its_own_config_is_not_asked_of_training_arguments(tmp_path: Path) -> None:
    text = """\
        from dataclasses import dataclass
        from transformers import Trainer, TrainingArguments
        @dataclass
        class Config(TrainingArguments):
            beta: float = 0.1
        class T(Trainer):
            def f(self):
                return self.args.beta, self.args.gamma
        """
    package = read(tmp_path, "trl", {"a.py": text})
    found = {each.member for each in package.uses() if each.target.endswith("TrainingArguments")}
    assert "gamma" in found
    assert "beta" not in found


def test_model_code_and_tests_are_left_out_and_templates_are_skipped(tmp_path: Path) -> None:
    files = {
        "models/bert/modeling.py": "from accelerate import a\n",
        "models/auto/auto.py": "from accelerate import b\n",
        "testing_utils.py": "from accelerate import c\n",
        "x.py": "from accelerate import d\n",
        "template.py": "{{ x }} y",
    }
    package = read(tmp_path, "transformers", files)
    assert {each.target for each in package.uses()} == {"accelerate.b", "accelerate.d"}


def test_a_wheel_is_read_like_a_folder_and_unchanged_modules_are_kept(tmp_path: Path) -> None:
    wheel = tmp_path / "trl-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("trl/__init__.py", "import accelerate\naccelerate.a()\n")
        archive.writestr("other/__init__.py", "")
    kept: dict[tuple[str, int], Module] = {}
    first = source.read(source.files(wheel, "trl"), "trl", kept)
    again = source.read(source.files(wheel, "trl"), "trl", kept)
    assert list(first.modules) == ["trl"]
    assert first.modules["trl"] is again.modules["trl"]


def test_whether_a_package_imports_another_is_told_without_parsing_it(tmp_path: Path) -> None:
    read(
        tmp_path,
        "datasets",
        {"a.py": "# import transformers\ndef f():\n    from accelerate import x\n"},
    )
    assert source.imports_any(tmp_path, "datasets", ["accelerate"])
    assert not source.imports_any(tmp_path, "datasets", ["transformers", "datasets"])
    assert not source.imports_any(tmp_path, "datasets", [])
