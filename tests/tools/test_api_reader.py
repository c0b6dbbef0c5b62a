"""The reader of API history: source text, releases in wheels, and how they are merged."""

from __future__ import annotations

import inspect
import json
import zipfile
from pathlib import Path
from types import FunctionType

import pytest
from api_reader import audit_child, history, release, source
from api_reader.source import Class, Function, Import

TEXT = """
from typing import TYPE_CHECKING
import os
from dataclasses import dataclass, field
from .sub import helper as aid
from accelerate import Accelerator

if TYPE_CHECKING:
    from .hidden import Hidden

try:
    import fast
except ImportError:
    fast = None

@deprecate_kwarg("tokenizer", version="5.0", new_name="processor")
def plain(a, /, b, c=1, *rest, d, e=2, **kwargs):
    x = kwargs.pop("old", None)
    if "other" in kwargs:
        pass
    return kwargs["third"]

@unheard_of
def changed(a):
    pass

@dataclass
class Settings(Base):
    name: str
    size: int = 3
    hidden: int = field(default=1, init=False)
    items: list = field(default_factory=list)
    total: ClassVar[int] = 0

    def __post_init__(self):
        self.late = 1

class Worker:
    kind = "w"

    def __init__(self, model, *, device=None):
        self.model, self.device = model, device

    @property
    def ready(self): ...

    @staticmethod
    def make(x): ...

def run():
    options = {"mixed": 1}
    options["split"] = 2
    Accelerator(**options, log=3)
"""


@pytest.fixture(scope="module")
def module() -> source.Module:
    return source.read(TEXT, "pkg.part", is_package=False)


def test_a_signature_keeps_kinds_defaults_and_names_taken_from_kwargs(
    module: source.Module,
) -> None:
    found = module.names["plain"]
    assert isinstance(found, Function)
    assert found.signature == "a,/,b,c=,*rest,d,e=,**kwargs;old,other,third"
    assert found.renamed == {"tokenizer": "processor"}
    assert found.known


def test_an_unknown_decorator_makes_the_signature_unknown(module: source.Module) -> None:
    found = module.names["changed"]
    assert isinstance(found, Function)
    assert not found.known


def test_dataclass_fields_are_parameters_but_for_those_without_init(module: source.Module) -> None:
    found = module.names["Settings"]
    assert isinstance(found, Class)
    assert found.fields == ["name", "size=", "items="]
    assert found.bases == ["Base"]
    assert "late" in found.attributes


def test_attributes_are_those_of_the_class_its_properties_and_self(module: source.Module) -> None:
    found = module.names["Worker"]
    assert isinstance(found, Class)
    assert found.attributes == {"kind", "model", "device", "ready"}
    assert found.methods["__init__"].signature == "self,model,*,device="
    assert found.methods["make"].signature == "x"


def test_imports_are_resolved_and_type_checking_is_kept_apart(module: source.Module) -> None:
    assert module.names["aid"] == Import("pkg.sub", "helper")
    assert "Hidden" not in module.names
    assert module.typed["Hidden"] == Import("pkg.hidden", "Hidden")
    assert "fast" in module.names


def test_calls_of_another_library_are_read_with_the_keys_of_their_dictionary(
    module: source.Module,
) -> None:
    assert module.imports == {"Accelerator": ("accelerate", "Accelerator")}
    assert module.calls == {
        ("", "Accelerator", "mixed"),
        ("", "Accelerator", "split"),
        ("", "Accelerator", "log"),
    }


def _functions() -> list[FunctionType]:
    def one(a: int, b: int = 2) -> None: ...
    def two(a: int, /, *rest: int, b: int, **more: int) -> None: ...
    def three(*, a: int = 1) -> None: ...
    def four(a: int, b: int = 1, /) -> None: ...

    return [each for each in (one, two, three, four) if isinstance(each, FunctionType)]


@pytest.mark.parametrize("function", _functions())
def test_the_audit_writes_a_signature_as_the_reader_does(function: FunctionType) -> None:
    text = inspect.getsource(function).strip()
    found = source.read(text, "m", is_package=False).names[function.__name__]
    assert isinstance(found, Function)
    assert audit_child.text(function) == found.signature


def wheel(folder: Path, version: str, files: dict[str, str]) -> Path:
    path = folder / f"pkg-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


LAZY = """
from typing import TYPE_CHECKING
from .lazy import _LazyModule, is_fast_available
__version__ = "1.0"
if TYPE_CHECKING:
    from .part import *
else:
    import sys
    sys.modules[__name__] = _LazyModule(__name__)
"""


def releases(tmp_path: Path) -> list[release.Release]:
    first = {
        "pkg/__init__.py": LAZY,
        "pkg/lazy.py": "class _LazyModule: ...\ndef is_fast_available(): ...",
        "pkg/part.py": "__all__ = ['Worker']\nclass Worker:\n  def run(self, a): ...\ndef gone(): ...",
    }
    second = {
        "pkg/__init__.py": LAZY,
        "pkg/lazy.py": first["pkg/lazy.py"],
        "pkg/part.py": "__all__ = ['Worker']\nfrom .base import Base\n"
        "class Worker(Base):\n  def run(self, a, b=1): ...",
        "pkg/base.py": "class Base: ...",
        "pkg/broken.py": "{{ template }} x",
    }
    cache = release.Cache(tmp_path / "cache")
    return [
        release.read(wheel(tmp_path, version, files), "pkg", version, cache)
        for version, files in (("1.0", first), ("1.1", second))
    ]


def test_a_lazy_package_has_what_it_imports_for_type_checkers(tmp_path: Path) -> None:
    old, _ = releases(tmp_path)
    assert old.names("pkg")["Worker"] == ("pkg.part", "Worker")
    assert "gone" not in old.names("pkg")


def test_a_lazy_package_lacks_what_only_its_own_code_uses(tmp_path: Path) -> None:
    old, _ = releases(tmp_path)
    assert old.names("pkg").keys() == {"Worker", "__version__", "__all__"}


def test_a_module_that_mentions_lazy_modules_is_not_one(tmp_path: Path) -> None:
    old, _ = releases(tmp_path)
    assert old.names("pkg.lazy").keys() == {"_LazyModule", "is_fast_available"}


STRUCTURE = """
from .lazy import _LazyModule, is_torch_available, is_fast_available
_import_structure = {"part": ["Worker"], "base": []}
try:
    if not is_torch_available():
        raise ImportError
except ImportError:
    from . import no_torch
    _import_structure["no_torch"] = [name for name in dir(no_torch) if not name.startswith("_")]
else:
    _import_structure["base"].append("Base")
try:
    if not is_fast_available():
        raise ImportError
except ImportError:
    from . import no_fast
    _import_structure["no_fast"] = [name for name in dir(no_fast) if not name.startswith("_")]
else:
    _import_structure["base"].extend(["Fast", "Faster"])
_import_structure["part"] += ["helper"]
if TYPE_CHECKING:
    from .part import Worker, OnlyForTypeCheckers
else:
    import sys
    _import_structure = {k: set(v) for k, v in _import_structure.items()}
    sys.modules[__name__] = _LazyModule(__name__, __file__, _import_structure)
    _create_module_alias(f"{__name__}.old_part", ".part")
    _LEGACY_MODULE_ALIASES = {"older_part": "part", "base": "part"}
"""


@pytest.fixture
def structured(tmp_path: Path) -> release.Release:
    files = {
        "pkg/__init__.py": STRUCTURE,
        "pkg/lazy.py": "",
        "pkg/no_torch.py": "class OnlyWithoutTorch: ...",
        "pkg/no_fast.py": "from .lazy import stand_in\nclass Fast: ...\n_hidden = 1",
        "pkg/part.py": "class Worker: ...\nclass OnlyForTypeCheckers: ...\ndef helper(): ...",
        "pkg/base.py": "class Base: ...\nclass Fast: ...\nclass Faster: ...",
        "pkg/template.py": f"TEXT = '''{LAZY}'''",
    }
    return release.read(
        wheel(tmp_path, "1.0", files), "pkg", "1.0", release.Cache(tmp_path / "cache")
    )


def test_a_lazy_package_has_what_its_structure_lists(structured: release.Release) -> None:
    names = structured.names("pkg")
    assert names.keys() - {"__all__"} == {
        "Worker",
        "Base",
        "Fast",
        "Faster",
        "helper",
        "stand_in",
    }
    assert names["Base"] == ("pkg.base", "Base")


def test_a_lazy_package_answers_for_old_modules(structured: release.Release) -> None:
    assert structured.names("pkg.old_part")["Worker"] == ("pkg.part", "Worker")
    assert structured.names("pkg.older_part") == structured.names("pkg.old_part")
    assert "Base" in structured.names("pkg.base")  # what is there is not replaced


def test_a_lazy_module_in_a_template_is_a_text(structured: release.Release) -> None:
    assert structured.names("pkg.template").keys() == {"TEXT"}


def test_a_history_says_from_which_release_on_what_is_so(tmp_path: Path) -> None:
    merged = json.loads(json.dumps(history.merge(releases(tmp_path))))
    assert merged["releases"] == ["1.0", "1.1"]
    assert merged["modules"] == {
        "pkg": [0],
        "pkg.base": [1],
        "pkg.lazy": [0],
        "pkg.part": [0],
    }
    assert merged["names"]["pkg.part"]["gone"] == [0, 1]
    assert merged["functions"]["pkg.part.gone"] == [0, "", 1, None]
    worker = merged["classes"]["pkg.part.Worker"]
    assert worker["methods"] == {"run": [0, "self,a", 1, "self,a,b="]}
    assert worker["bases"] == [0, "", 1, "pkg.base.Base"]


def test_a_cache_is_read_again_only_as_far_as_it_is_still_used(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    cache = release.Cache(path)
    archive = wheel(tmp_path, "1.0", {"pkg/__init__.py": "x = 1"})
    release.read(archive, "pkg", "1.0", cache)
    cache.modules[1, "pkg/other.py", 5] = cache.modules[next(iter(cache.modules))]
    cache.save()
    assert len(release.Cache.open(path).modules) == 1
