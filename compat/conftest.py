"""Turns bugs/data/ into expectations, and what happened into verdicts.

A test marked ``bug(id, symptom)`` asserts the correct behaviour. Where the data says that the
installed versions show the symptom, its stock run must fail with exactly that exception and
message; anywhere else, and with the patch on, it must pass. A ``bug(id)`` mark without a symptom is
a control: it must pass everywhere.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.environment import matrix, versions
from metalassay.errors import UserError
from metalassay.testing.pytest_recorder import Recorder

VERSIONS = versions.installed()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("metalassay")
    group.addoption("--verdicts", type=Path, metavar="FILE", help="write the verdicts as JSON")
    group.addoption("--bug", action="append", metavar="ID", help="run this known bug's tests only")
    group.addoption("--set", metavar="ID", help="the row of matrix.toml that is installed here")


def pytest_configure(config: pytest.Config) -> None:
    try:
        version_set = matrix.get(config.rootpath, config.getoption("--set"))
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    if config.pluginmanager.hasplugin("metalassay-emulated-mps"):
        # The tests of MPS try out their own code here; what they find is nobody's verdict.
        if config.getoption("--verdicts"):
            raise pytest.UsageError(
                "--verdicts: this mps is emulated, and a verdict would not say so"
            )
        return
    recorder = Recorder(
        config,
        marked=marked_bug,
        expected=expected_to_fail,
        versions=VERSIONS,
        version_set=version_set,
        target=config.getoption("--verdicts"),
    )
    config.pluginmanager.register(recorder, "metalassay-recorder")


def marked_bug(item: pytest.Item) -> tuple[bugs.Bug, str | None] | None:
    """Return the bug and the symptom that a test is marked with."""
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
    """Run the test on the library as installed, or with the bug's patch on."""
    marked = marked_bug(request.node)
    assert marked is not None, "the fixture `upstream` needs a bug mark"
    with ExitStack() as stack:
        if request.param == "patched":
            patch = importlib.import_module(f"metalassay.patches.{marked[0].patch}")
            stack.enter_context(patch.patch())
        yield request.param


@pytest.fixture(autouse=True)
def fresh_accelerate() -> None:
    """Forget what the test before left in accelerate's process-wide state, if it is in use at all."""
    state = sys.modules.get("accelerate.state")
    for name in ("GradientState", "AcceleratorState", "PartialState"):
        if hasattr(state, name):
            getattr(state, name)._shared_state.clear()


def expected_to_fail(item: pytest.Item) -> bool:
    """Say whether the data expects the symptom, on the stock library, with these versions."""
    marked = marked_bug(item)
    return marked is not None and marked[1] is not None and marked[0].hits(VERSIONS, marked[1])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    wanted = config.getoption("--bug")
    if wanted:
        kept = [item for item in items if (found := marked_bug(item)) and found[0].id in wanted]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    for item in items:
        marked = marked_bug(item)
        if marked is None:
            continue
        masks = [mask for mask in marked[0].masked_by if bugs.get(mask).hits(VERSIONS)]
        if masks:
            item.add_marker(pytest.mark.skip(reason=f"masked by {masks[0]}, which strikes first"))
            continue
        if marked[1] is None or not expected_to_fail(item):
            continue
        if item.callspec.params.get("upstream") == "stock":
            symptom = marked[0].symptom(marked[1])
            raises = pytest.RaisesExc(exception_type(symptom.raises), match=symptom.match)
            item.add_marker(pytest.mark.xfail(strict=True, raises=raises, reason=marked[0].title))


def exception_type(name: str) -> type[BaseException]:
    """Find an exception by the name it has in known_bugs.toml, as ``ValueError`` or ``a.b.C``."""
    module, _, attribute = name.rpartition(".")
    found: type[BaseException] = getattr(
        importlib.import_module(module) if module else builtins, attribute
    )
    return found
