"""What a fork server may import for the files of the arms: installed modules, up to the first effect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalassay.workers import first_imports
from metalassay.workers.specs import Arm, parse


def arm(path: Path, function: str = "::step") -> Arm:
    return Arm("A", parse(f"{path}{function}"), sys.executable)


def found(folder: Path, **files: str) -> list[str]:
    """Write the files and return the modules that ``bench`` imports, those of Python's library too."""
    for name, text in files.items():
        path = folder.joinpath(*name.split("_", 1)).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [name for name, _ in first_imports.shared([arm(folder / "bench.py")])]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        (
            "'a docstring'\nimport json, torch.nn as nn\nfrom pytest import mark\n",
            "json torch.nn pytest",
        ),
        ("import json\nSIZE = 3\nNAMES = ('a', 'b')\ndef f(): g()\nimport torch", "json torch"),
        (
            "import json\nclass C:\n    '''a class'''\n    x = 1\n    def f(self): g()\nimport torch",
            "json torch",
        ),
        ("from __future__ import annotations\nimport torch", "torch"),
        (
            "try:\n    import torch\nexcept ImportError:\n    torch = None\nimport json",
            "torch json",
        ),
        (
            "import typing\nif typing.TYPE_CHECKING:\n    import pytest\nimport torch",
            "typing torch",
        ),
        # What has an effect, or may have one, ends it.
        ("import os\nos.environ['OMP_NUM_THREADS'] = '2'\nimport torch", "os"),
        ("import os\nos.environ.setdefault('X', '2')\nimport torch", "os"),
        ("import json\nNUMBER = make()\nimport torch", "json"),
        ("import json\n@register()\ndef f(): pass\nimport torch", "json"),
        ("import json\ndef f(x=make()): pass\nimport torch", "json"),
        ("import json\nclass C(make()): pass\nimport torch", "json"),
        ("import json\nclass C:\n    x = make()\nimport torch", "json"),
        ("import json\ntry:\n    prepare()\n    import torch\nexcept Exception: pass", "json"),
        ("import json\nif json:\n    import torch", "json"),
        ("import json\ndel json\nimport torch", "json"),
        ("import json\nimport nowhere_at_all\nimport torch", "json"),
        ("import torch\nthis is no Python", ""),
    ],
)
def test_imports_are_followed_to_the_first_statement_with_an_effect(
    text: str, modules: str, tmp_path: Path
) -> None:
    assert found(tmp_path, bench=text) == modules.split()


def test_modules_of_ones_own_are_read_and_not_imported(tmp_path: Path) -> None:
    modules = found(
        tmp_path,
        bench="import model\nfrom parts.layers import Layer\nfrom parts import deep\nimport json\n",
        model="import torch\nWIDTH = 3\n",
        parts___init__="import csv\n",
        parts_layers="from . import deep\nimport pytest\n",
        parts_deep="import base64\n",
    )
    assert modules == ["torch", "csv", "base64", "pytest", "json"]


def test_an_effect_in_a_module_of_ones_own_ends_it_too(tmp_path: Path) -> None:
    assert found(
        tmp_path, bench="import model\nimport json\n", model="import csv\nprepare()\n"
    ) == ["csv"]


def test_a_circle_of_imports_ends(tmp_path: Path) -> None:
    assert found(tmp_path, bench="import model\n", model="import bench\nimport csv\n") == ["csv"]


def test_a_folder_of_ones_own_comes_before_an_installed_package(tmp_path: Path) -> None:
    assert found(tmp_path, bench="import pytest\nimport csv\n", pytest="x = 1\n") == ["csv"]


def test_the_names_taken_from_a_module_are_kept_since_they_may_be_loaded_when_asked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "bench.py").write_text("from transformers import BertModel, BertConfig\n")
    imports = first_imports.shared([arm(tmp_path / "bench.py")])
    assert imports == (("transformers", ("BertModel", "BertConfig")),)


def test_optimizers_import_what_their_constructor_would(tmp_path: Path) -> None:
    text = "import torch\ndef step():\n    return torch.optim.SGD\n"
    assert found(tmp_path, bench=text) == ["torch", "torch._dynamo"]
    assert found(tmp_path, bench=text.replace("torch.optim", "torch.nn")) == ["torch"]


def test_only_what_all_arms_import_is_imported_for_all(tmp_path: Path) -> None:
    """A module may change others when it is imported: that must not happen to the other arm."""
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    one.write_text("import csv\nimport torch\nimport json\n")
    other.write_text("import json\nimport torch\n")
    arms = [arm(one), arm(other)]
    assert [name for name, _ in first_imports.shared(arms)] == ["torch", "json"]
    assert first_imports.folder(arms) == str(tmp_path)
    workload = Arm("B", parse("transit-cnn"), sys.executable)
    assert [name for name, _ in first_imports.shared([arm(one), workload])] == ["torch"]


def test_files_in_two_folders_have_no_common_folder(tmp_path: Path) -> None:
    assert first_imports.folder([arm(tmp_path / "a.py"), arm(tmp_path / "sub" / "a.py")]) == ""


def test_pythons_own_library_is_not_worth_a_server() -> None:
    assert not first_imports.slow((("json", ()), ("os.path", ())))
    assert first_imports.slow((("json", ()), ("torch.nn", ())))


def test_a_model_file_needs_what_reads_it(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("import csv\n")
    modules = [name for name, _ in first_imports.shared([arm(tmp_path / "my.py", "")])]
    assert modules == ["torch", "metalassay.ask.contract", "metalassay.ask.training_step", "csv"]
