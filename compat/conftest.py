"""Turn bugs/data/ into expected failures, and outcomes into verdicts.

A test marked ``bug(id, symptom)`` asserts the correct behaviour. If the data says that the installed
versions show the symptom, its stock run must fail with exactly that exception and message; otherwise,
and with the patch applied, it must pass. A ``bug(id)`` mark without a symptom is a control: the test
must pass everywhere. A test that needs a package which is not installed is skipped, and says so.
"""

from __future__ import annotations

import builtins
import importlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from metalassay import bugs
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.matrix import matrix_file
from metalassay.testing import absent, accelerate_state
from metalassay.testing.pytest_recorder import Recorder

VERSIONS = versions.installed()
SHARED = "metalassay.testing.pytest_device"  # --device and the marks

# The modules that tests share stand beside them, here and in the installed package.
if str(HERE := Path(__file__).parent) not in sys.path:
    sys.path.append(str(HERE))


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.has_plugin(SHARED):  # the root of a checkout has it loaded
        pluginmanager.import_plugin(SHARED)
    group = parser.getgroup("metalassay")
    group.addoption(
        "--verdicts", type=Path, metavar="FILE", help="write the verdicts to this JSON file"
    )
    group.addoption(
        "--bug",
        action="append",
        metavar="ID",
        help="run only the tests of this known bug; repeatable",
    )
    group.addoption(
        "--set",
        metavar="ID",
        help="the version set (row of matrix.toml) that is installed; recorded in the verdict file",
    )
    group.addoption(
        "--journal",
        type=Path,
        metavar="FILE",
        help="go on after the tests that this file has; for the program that runs the matrix",
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        version_set = matrix_file.get(config.rootpath, config.getoption("--set"))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    target = config.getoption("--verdicts")
    if target is not None and (not target.name or (target.exists() and not target.is_file())):
        raise pytest.UsageError(f"--verdicts: {target} is no file to write to")
    if config.pluginmanager.hasplugin("metalassay-emulated-mps"):
        # On an emulated mps the tests check their own code; their outcomes are not verdicts.
        if config.getoption("--verdicts"):
            raise pytest.UsageError(
                "--verdicts: mps is emulated here, which a verdict file cannot record"
            )
        return
    recorder = Recorder(
        config,
        marked=marked_bug,
        expected=expected_to_fail,
        versions=VERSIONS,
        version_set=version_set.record(),
        target=config.getoption("--verdicts"),
        suite=HERE,
        only=version_set.bugs,
        marks=matrix_file.marks(version_set.tags),
        diary=config.getoption("--journal"),
    )
    config.pluginmanager.register(recorder, "metalassay-recorder")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    module: pytest.Module = absent.Module.from_parent(parent, path=module_path)
    return module


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:  # a generator
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if not pyfuncitem.get_closest_marker("xfail"):  # else it may be the symptom
            absent.skip_for(error)
        raise


def marked_bug(item: pytest.Item) -> tuple[bugs.Bug, str | None] | None:
    """Return the bug and the symptom of a test's mark, or None if it has no mark."""
    mark = item.get_closest_marker("bug")
    if mark is None:
        return None
    try:
        bug, symptom = bugs.get(mark.args[0]), mark.kwargs.get("symptom")
        if symptom is not None:
            bug.symptom(symptom)
    except KeyError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error.args[0]}") from None
    return bug, symptom


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = next(metafunc.definition.iter_markers("bug"), None)
    if mark is not None and "upstream" in metafunc.fixturenames:
        patch = bugs.get(mark.args[0]).patch
        metafunc.parametrize(
            "upstream", ["stock", "patched"] if patch else ["stock"], indirect=True
        )


@pytest.fixture
def upstream(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test on the library as installed, or with the bug's patch applied."""
    marked = marked_bug(request.node)
    assert marked is not None, "a test with the fixture `upstream` must be marked with a bug"
    with ExitStack() as stack:
        if request.param == "patched":
            patch = importlib.import_module(f"metalassay.patches.{marked[0].patch}")
            stack.enter_context(patch.patch())
        yield request.param


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    """Reset accelerate's process-wide state before each test."""
    accelerate_state.reset()


@pytest.fixture
def simulated_mps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make PyTorch report that it has MPS; for tests of decisions, since no tensor can be put there."""
    import torch

    for variable in ("ACCELERATE_USE_CPU", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(variable, raising=False)
    with monkeypatch.context() as simulation:
        for question in ("is_available", "is_built", "is_macos_or_newer"):
            simulation.setattr(torch.backends.mps, question, lambda *_: True)
        clear_device_caches()
        yield
    clear_device_caches()


def clear_device_caches() -> None:
    """Clear the caches in which accelerate and transformers remember the available devices."""
    for name in ("accelerate.utils.imports", "transformers.utils.import_utils"):
        if module := sys.modules.get(name):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


@pytest.fixture
def uv_programs() -> list[bytes]:
    """Return the contents of the uv programs installed here, or skip the test if there are none."""
    paths = [shutil.which("uv"), Path(sys.base_prefix, "bin", "uv")]
    files = [Path(path).read_bytes() for path in paths if path and Path(path).is_file()]
    # The uv on PATH may be a script that starts the program.
    programs = [content for content in files if b"UV_CONCURRENT_DOWNLOADS" in content]
    if not programs:
        pytest.skip("uv is not installed here as a program")
    return programs


def expected_to_fail(item: pytest.Item) -> bool:
    """Return whether the stock library of the installed versions is expected to show the symptom."""
    marked = marked_bug(item)
    return marked is not None and marked[1] is not None and marked[0].hits(VERSIONS, marked[1])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    wanted = config.getoption("--bug")
    if wanted:
        # A row of one package's releases also does what that package is for.
        row = matrix_file.get(config.rootpath, config.getoption("--set"))
        own = row.packages() if set(wanted) == {*row.bugs} else set()
        selected = [
            item
            for item in items
            if ((bug := marked_bug(item)) and bug[0].id in wanted)
            or any(mark.args[0] in own for mark in item.iter_markers("package"))
        ]
        config.hook.pytest_deselected(items=[item for item in items if item not in selected])
        items[:] = selected
    for item in items:
        marked = marked_bug(item)
        if marked is None:
            continue
        masks = [mask for mask in marked[0].masked_by if bugs.get(mask).hits(VERSIONS)]
        if masks:
            item.add_marker(pytest.mark.skip(reason=f"masked by {masks[0]}, which fails first"))
            continue
        if marked[1] is None or not expected_to_fail(item):
            continue
        if item.callspec.params.get("upstream") == "stock":
            symptom = marked[0].symptom(marked[1])
            raises = pytest.RaisesExc(exception_type(symptom.raises), match=symptom.match)
            # What only a report says is no failure where it does not show: a finding.
            strict = not (symptom.intermittent or marked[0].reported_only)
            item.add_marker(pytest.mark.xfail(strict=strict, raises=raises, reason=marked[0].title))


def exception_type(name: str) -> type[BaseException]:
    """Return the exception that bugs/data/ names, as in ``ValueError`` or ``a.b.C``."""
    module, _, attribute = name.rpartition(".")
    exception: type[BaseException] = getattr(
        importlib.import_module(module) if module else builtins, attribute
    )
    return exception
