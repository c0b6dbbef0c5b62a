"""A function is called after a module has been imported, and the import is otherwise as it was."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pickle
import pkgutil
import runpy
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from metalassay.after_import import AfterImport


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AfterImport]:
    (tmp_path / "imported_here.py").write_text("NAME = __name__\n\ndef function():\n    return 1\n")
    package = tmp_path / "package_here"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "data.txt").write_text("data")
    monkeypatch.syspath_prepend(tmp_path)
    found = AfterImport()
    sys.meta_path.insert(0, found)
    yield found
    sys.meta_path.remove(found)
    for name in ("imported_here", "package_here", "zipped_here"):
        sys.modules.pop(name, None)


def imported(finder: AfterImport, name: str) -> tuple[ModuleType, list[Any]]:
    seen: list[Any] = []
    finder.add(name, lambda module: seen.append((module, dict(vars(module)))))
    return importlib.import_module(name), seen


def test_the_function_gets_the_module_that_has_been_executed(finder: AfterImport) -> None:
    module, [(seen, values)] = imported(finder, "imported_here")
    assert seen is module
    assert values["NAME"] == "imported_here"


def test_a_module_that_is_not_asked_for_is_none_of_its_business(finder: AfterImport) -> None:
    assert finder.find_spec("imported_here", None) is None


def test_afterwards_the_module_has_its_own_loader(finder: AfterImport) -> None:
    module, _ = imported(finder, "imported_here")
    assert module.__spec__ is not None
    assert type(module.__spec__.loader).__name__ == type(module.__loader__).__name__
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert "return 1" in inspect.getsource(module.function)
    assert pickle.loads(pickle.dumps(module.function)) is module.function  # noqa: S301
    package, _ = imported(finder, "package_here")
    assert pkgutil.get_data("package_here", "data.txt") == b"data"
    assert importlib.resources.files(package).joinpath("data.txt").read_text() == "data"


def test_a_reload_calls_it_again(finder: AfterImport) -> None:
    module, seen = imported(finder, "imported_here")
    assert importlib.reload(module) is module
    assert len(seen) == 2
    finder.remove("imported_here")
    importlib.reload(module)
    assert len(seen) == 2


def test_who_looks_for_the_module_finds_it(finder: AfterImport) -> None:
    finder.add("imported_here", lambda module: None)
    spec = importlib.util.find_spec("imported_here")
    assert spec is not None
    assert spec.origin is not None
    assert spec.origin.endswith("imported_here.py")
    assert spec.loader.get_source("imported_here").startswith("NAME")  # type: ignore[union-attr]
    assert (
        importlib.util.find_spec("imported_here.not_there_either".partition(".")[0] + "_x") is None
    )


def test_it_runs_as_a_program_and_is_loaded_lazily(finder: AfterImport) -> None:
    seen: list[str] = []
    finder.add("imported_here", lambda module: seen.append(module.__name__))
    assert runpy.run_module("imported_here", run_name="__main__")["NAME"] == "__main__"
    assert seen == []
    spec = importlib.util.find_spec("imported_here")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["imported_here"] = module
    spec.loader.exec_module(module)
    assert seen == []
    assert module.NAME == "imported_here"
    assert seen == ["imported_here"]


def test_a_module_in_an_archive_is_found_as_well(
    finder: AfterImport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("zipped_here.py", "NAME = __name__\n")
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    module, seen = imported(finder, "zipped_here")
    assert len(seen) == 1
    assert type(module.__loader__).__name__ == "zipimporter"


def test_a_finder_of_the_old_kind_is_passed_over(
    finder: AfterImport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "meta_path", [finder, object(), *sys.meta_path[1:]])
        _, seen = imported(finder, "imported_here")
    assert len(seen) == 1


def test_two_of_them_both_see_the_module(finder: AfterImport) -> None:
    other = AfterImport()
    seen: list[Any] = []
    other.add("imported_here", seen.append)
    sys.meta_path.insert(0, other)
    try:
        module, ours = imported(finder, "imported_here")
    finally:
        sys.meta_path.remove(other)
    assert (len(ours), seen) == (1, [module])
    assert type(module.__loader__).__name__ == "SourceFileLoader"


def test_the_function_gets_what_the_module_put_in_its_place(
    finder: AfterImport, tmp_path: Path
) -> None:
    (tmp_path / "imported_here.py").write_text(
        "import sys, types\nsys.modules[__name__] = types.SimpleNamespace(other=True)\n"
    )
    seen: list[Any] = []
    finder.add("imported_here", seen.append)
    importlib.import_module("imported_here")
    assert seen[0].other


def test_a_package_is_provided_from_a_folder_that_is_not_on_the_path(
    finder: AfterImport, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    (folder / "package_here").mkdir(parents=True)
    (folder / "package_here" / "__init__.py").write_text("PROVIDED = True\n")
    (folder / "package_here" / "below.py").write_text("")
    finder.provide("package_here", str(folder))
    assert importlib.import_module("package_here").PROVIDED
    assert importlib.import_module("package_here.below")
    assert str(folder) not in sys.path
    sys.modules.pop("package_here.below")
