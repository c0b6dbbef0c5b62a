"""What a public entry reaches: through imports, calls, objects and overridden methods."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages_on_disk import read

from metalassay.linkcheck import guards
from metalassay.linkcheck.reach import Reach

TRL = {
    "__init__.py": "import sys\nif TYPE_CHECKING:\n    from .sft import SFTTrainer\nsys.modules[__name__] = _LazyModule()\n",
    "sft.py": """\
        from transformers import Trainer
        from .tools import helper
        if is_vllm_available():
            from .vllm import Client
        if is_transformers_ge_v5:
            from .new import thing
        class SFTTrainer(Trainer):
            def __init__(self):
                helper()
                if self.odd:
                    self.sometimes()
            def compute_loss(self):
                self.inner()
            def inner(self): ...
            def sometimes(self): ...
            def never(self): ...
        """,
    "tools.py": "def helper():\n    Thing()\nclass Thing:\n    def __call__(self): ...\ndef other(): ...\n",
    "vllm.py": "class Client: ...\n",
    "new.py": "def thing(): ...\n",
}


@pytest.mark.parametrize(
    ("module", "function", "strength"),
    [
        ("trl.sft", "", guards.SURE),
        ("trl.tools", "", guards.SURE),
        ("trl.tools", "helper", guards.SURE),
        ("trl.tools", "Thing.__call__", guards.SURE),
        ("trl.sft", "SFTTrainer.inner", guards.SURE),
        ("trl.sft", "SFTTrainer.sometimes", guards.UNSURE),
        ("trl.new", "", guards.GUARDED),
        ("trl.vllm", "", guards.NEVER),
        ("trl.tools", "other", guards.NEVER),
        ("trl.sft", "SFTTrainer.never", guards.NEVER),
    ],
)
def test_an_entry_reaches_what_it_imports_and_calls(
    tmp_path: Path, module: str, function: str, strength: int
) -> None:
    found = Reach(read(tmp_path, "trl", TRL)).of(module, function, (), "call")
    assert found.strength == strength
    assert found.entry == ("SFTTrainer" if strength else "")


def test_the_conditions_of_the_line_itself_count(tmp_path: Path) -> None:
    found = Reach(read(tmp_path, "trl", TRL))
    assert found.of("trl.sft", "", ("if self.odd",), "import").strength == guards.UNSURE
    assert found.of("trl.sft", "", ("try ImportError",), "import").strength == guards.GUARDED


def test_what_the_import_of_the_package_runs(tmp_path: Path) -> None:
    files = {"__init__.py": "from .a import x\n", "a.py": "x = 1\n", "b.py": ""}
    found = Reach(read(tmp_path, "peft", files))
    assert found.of("peft.a", "", (), "import").entry == "import"
    assert found.of("peft.b", "", (), "import").entry == ""


def test_a_shared_line_names_every_entry(tmp_path: Path) -> None:
    files = {**TRL, "dpo.py": "from .tools import helper\nclass DPOTrainer: ...\n"}
    found = Reach(read(tmp_path, "trl", files)).of("trl.tools", "", (), "import")
    assert found.entry == "SFTTrainer, DPOTrainer"
