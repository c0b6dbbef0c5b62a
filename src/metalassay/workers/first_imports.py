"""What the files of the arms import before they do anything, found without executing them.

A fork server imports it once for all processes. It must not change what a process would see that was
started by itself, so nothing of the user's is executed there: the files are parsed, and their imports are
followed up to the first statement that may have an effect (a call, or an assignment to anything but a
name): ``os.environ[...] = ...`` before ``import torch`` must stay before it. Only what is installed is
imported; a module of the user's own is read in the same way, for what it imports.
"""

from __future__ import annotations

import ast
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metalassay.workers.specs import Arm, Spec

Import = tuple[str, tuple[str, ...]]
"""A module, and the names that are taken from it, which may be modules too or be loaded when asked for."""

_OF_A_WORKLOAD: tuple[Import, ...] = (
    ("torch", ()),
    ("metalassay.workloads.registry", ()),
    ("torch._dynamo", ()),
)
_OF_A_MODEL: tuple[Import, ...] = (
    ("torch", ()),
    ("metalassay.ask.contract", ()),
    ("metalassay.ask.training_step", ()),
)
# The constructor of every optimizer imports it, for seconds.
_OF_OPTIMIZERS: Import = ("torch._dynamo", ())
_MOST_FILES = 200
_LARGEST = 1_000_000  # bytes; a larger source is generated, and nobody's benchmark


def shared(arms: Sequence[Arm]) -> tuple[Import, ...]:
    """Return what all arms import, in the order of the first.

    What only some import stays theirs, since a module may change others when it is imported.
    """
    found = [_of(arm.spec) for arm in arms]
    return tuple(each for each in found[0] if all(each in other for other in found[1:]))


def slow(imports: Sequence[Import]) -> bool:
    """Whether there is anything beside Python's own library, whose import takes no time worth saving."""
    return any(name.partition(".")[0] not in sys.stdlib_module_names for name, _ in imports)


def folder(arms: Sequence[Arm]) -> str:
    """Return the folder of the files of all arms, where their imports look first; "" if it is not one."""
    folders = {
        str(Path(arm.spec.name).absolute().parent) for arm in arms if arm.spec.kind != "workload"
    }
    return folders.pop() if len(folders) == 1 else ""


def _of(spec: Spec) -> tuple[Import, ...]:
    if spec.kind == "workload":
        return _OF_A_WORKLOAD
    path = Path(spec.name).absolute()
    reader = _Reader(path.parent)
    reader.read(path)
    if reader.optimizes and any(name.partition(".")[0] == "torch" for name, _ in reader.found):
        reader.found.append(_OF_OPTIMIZERS)
    ours = _OF_A_MODEL if spec.kind == "model" else ()
    return tuple(dict.fromkeys((*ours, *reader.found)))


@dataclass
class _Reader:
    """Follows imports from file to file, in the order in which they would be executed."""

    folder: Path
    found: list[Import] = field(default_factory=list)
    optimizes: bool = False
    _seen: set[Path] = field(default_factory=set)
    _over: bool = False

    def read(self, path: Path) -> None:
        """Collect what the file imports; ``_over`` is set where it does something."""
        if path in self._seen or self._over:
            return
        self._seen.add(path)
        tree = _parsed(path) if len(self._seen) <= _MOST_FILES else None
        if tree is None:
            self._over = True
            return
        self.optimizes |= any(
            isinstance(node, ast.Attribute) and node.attr == "optim" for node in ast.walk(tree)
        )
        self._body(tree.body, path)

    def _body(self, statements: Sequence[ast.stmt], path: Path) -> None:
        for statement in statements:
            if self._over:
                return
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    self._module(alias.name, ())
            elif isinstance(statement, ast.ImportFrom):
                self._from(statement, path)
            elif isinstance(statement, ast.Try):
                # An import with a substitute: what fails here is tried again in the process itself.
                self._over = not _only_imports(statement.body)
                self._body(statement.body, path)
            elif not _harmless(statement):
                self._over = True

    def _from(self, statement: ast.ImportFrom, path: Path) -> None:
        names = tuple(alias.name for alias in statement.names if alias.name != "*")
        if not statement.level:
            self._module(statement.module or "", names)
            return
        place = path.parents[statement.level - 1]
        inner = place.joinpath(*(statement.module or "").split("."))
        for each in (inner, *(inner / name for name in names)):
            if (source := _source(each)) is not None:
                self.read(source)

    def _module(self, name: str, names: tuple[str, ...]) -> None:
        if name == "__future__" or name.partition(".")[0] == "metalassay":
            return
        sources = self._own(name)
        if sources is None:
            self.found.append((name, names))
            return
        for source in sources:
            self.read(source)
        for each in names:  # a name may be a module of the package
            for source in (self._own(f"{name}.{each}") or [])[len(sources) :]:
                self.read(source)

    def _own(self, name: str) -> list[Path] | None:
        """Return the files that importing this module executes, None where it is an installed one."""
        top, *rest = name.split(".")
        place = self.folder / top
        if top in sys.builtin_module_names or (_source(place) is None and _installed(top)):
            return None
        if _source(place) is None:
            origin = _origin(top)
            if origin is None:
                self._over = True  # it may be anything, or nothing
                return []
            place = origin.parent if origin.name == "__init__.py" else origin.with_suffix("")
        sources = []
        for part in ("", *rest):
            place = place / part if part else place
            if (source := _source(place)) is not None:
                sources.append(source)
        return sources


def _parsed(path: Path) -> ast.Module | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None  # the process that executes it says what is wrong


def _source(place: Path) -> Path | None:
    """Return the file of a module that lies at ``place``, its path without a suffix."""
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None


def _origin(top: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _installed(top: str) -> bool:
    """Whether the module comes with Python or lies where packages are installed."""
    if top in sys.stdlib_module_names:
        return True
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return False
    origin = (spec.origin or "") if spec else ""
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    if site.ENABLE_USER_SITE:
        places.add(site.getusersitepackages())
    return any(Path(origin).is_relative_to(place) for place in places)


def _only_imports(statements: Sequence[ast.stmt]) -> bool:
    return all(isinstance(each, (ast.Import, ast.ImportFrom)) for each in statements)


def _harmless(statement: ast.stmt) -> bool:
    """Whether executing the statement changes nothing but names of its own module."""
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.If):  # of the two that are common, the body is not executed here
        return ast.unparse(statement.test) in _NOT_HERE and not statement.orelse
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        head = [*statement.decorator_list, statement.args]
        return not any(_calls(node) for node in head)
    if isinstance(statement, ast.ClassDef):
        head = [*statement.decorator_list, *statement.bases, *statement.keywords]
        return not any(_calls(node) for node in head) and all(map(_harmless, statement.body))
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return all(isinstance(target, ast.Name) for target in targets) and not _calls(statement)
    return False


_NOT_HERE = ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")


def _calls(node: ast.AST) -> bool:
    return any(isinstance(each, (ast.Call, ast.Await)) for each in ast.walk(node))
