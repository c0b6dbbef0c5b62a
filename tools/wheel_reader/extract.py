"""Extract from one macOS arm64 wheel of torch what its MPS backend can do.

There are three sources, all in the wheel: ``native_functions.yaml``, parsed by the wheel's own
torchgen; the registrations in ``libtorch_cpu.dylib``, which confirm the yaml and add those written by
hand (such as operators that always run on the CPU); and the registrations in torch's Python code.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from wheel_reader import registrations

SCHEMA = "metalassay.operators/1"
_CHILD = Path(__file__).with_name("torchgen_child.py")
_DYLIB = "torch/lib/libtorch_cpu.dylib"


@dataclass(frozen=True)
class Extract:
    """The text of ``operators/<version>.json``, and what each source in the wheel contains.

    ``from_yaml`` and ``from_library`` are the overloads with a generated MPS kernel, read
    independently; ``sparse_from_yaml`` and ``sparse_from_library`` are the same for SparseMPS.
    """

    torch: str
    text: str
    from_yaml: frozenset[str]
    from_library: frozenset[str]
    sparse_from_yaml: frozenset[str]
    sparse_from_library: frozenset[str]

    @property
    def disagreement(self) -> frozenset[str]:
        """The overloads that only one of the two sources names."""
        return (self.from_yaml ^ self.from_library) | (
            self.sparse_from_yaml ^ self.sparse_from_library
        )


def extract(wheel: Path) -> Extract:
    """Read a wheel; needs the extra ``oracle``, about 500 MB of temporary space and a few seconds.

    Raises ``UserError`` if the file is not such a wheel or cannot be understood.
    """
    try:
        archive = zipfile.ZipFile(wheel)
    except zipfile.BadZipFile:
        raise UserError(f"{wheel} is not a wheel", "delete it and download it again") from None
    with archive, tempfile.TemporaryDirectory(prefix="metalassay-") as folder:
        names = archive.namelist()
        if _DYLIB not in names:
            raise UserError(f"{wheel.name} has no {_DYLIB}", "use a macosx arm64 wheel of torch")
        archive.extractall(folder, [name for name in names if name.startswith("torchgen/")])
        library = Path(folder, "libtorch_cpu.dylib")
        with archive.open(_DYLIB) as packed, library.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
        overloads = _ask_torchgen(Path(folder))
        registered = registrations.read(library)
        in_python = _registered_in_python(archive)
        version_py = archive.read("torch/version.py").decode()
    version, git = (_constant(version_py, name) for name in ("__version__", "git_version"))
    groups, asks = classify(overloads, registered, in_python)
    record = {
        "schema": SCHEMA,
        "torch": version,
        "git": git,
        "wheel": wheel.name,
        "sha256": _sha256(wheel),
        **{name: _by_base(group) for name, group in groups.items()},
        "asks": dict(sorted(asks.items())),
    }
    return Extract(
        torch=version,
        text=json.dumps(record, indent=1) + "\n",
        from_yaml=frozenset(name for name, facts in overloads.items() if facts["mps"]),
        from_library=registered.generated,
        sparse_from_yaml=frozenset(
            name for name, facts in overloads.items() if facts["sparse_mps"]
        ),
        sparse_from_library=registered.sparse,
    )


def classify(
    overloads: dict[str, dict[str, Any]],
    registered: registrations.Registrations,
    in_python: frozenset[str],
) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Sort every overload into one group, in the dispatcher's order of preference.

    Also return which overload is looked up for a variant without a kernel of its own: torchgen gives
    the functional and in-place variants of a structured operator a kernel that calls ``.out``.
    """
    groups: dict[str, set[str]] = {
        "kernels": {name for name, facts in overloads.items() if facts["mps"]},
        "kernels_by_hand": set(registered.by_hand),
        "kernels_in_python": set(in_python),
        "fallbacks": set(registered.fallbacks),
        "composites": set(),
        "cpu_only": set(),
        "elsewhere": set(),
        "sparse_kernels": set(registered.sparse),
    }
    own: dict[str, str] = {}
    for group in ("kernels", "kernels_by_hand", "kernels_in_python", "fallbacks"):
        for name in groups[group]:
            if name in own or name not in overloads:
                raise UserError(
                    f"{name} is in {group} and {own.get(name, 'not in native_functions.yaml')}",
                    "a case that tools/wheel_reader/extract.py must handle",
                )
            own[name] = group
    asks = {}
    for name, facts in overloads.items():
        if name in own:
            continue
        # The order matters: all.dims has an explicit composite and a delegate, which it never calls.
        if facts["composite_explicit"]:
            group = "composites"
        elif facts["delegate"] is not None:
            asks[name] = facts["delegate"]
            asked = own.get(facts["delegate"])
            group = {"fallbacks": "fallbacks", None: "missing"}.get(asked, "composites")
        elif facts["composite_implicit"] or facts["composite_non_functional"]:
            group = "composites"
        else:
            group = "missing"
        if group == "missing":
            group = "cpu_only" if facts["cpu"] else "elsewhere"
        groups[group].add(name)
    return groups, asks


def _by_base(names: Iterable[str]) -> dict[str, str]:
    """Group overloads by operator, one per line: the file is small, and a diff shows the changes."""
    grouped: dict[str, list[str]] = {}
    for name in sorted(names):
        base, _, overload = name.partition(".")
        grouped.setdefault(base, []).append(overload or "default")
    return {base: " ".join(sorted(grouped[base])) for base in sorted(grouped)}


def _ask_torchgen(folder: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-I", "-B", str(_CHILD), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip() or "no error message").splitlines()[-1]
        raise UserError(
            f"the wheel's torchgen failed: {why}", "python -m pip install --group oracle"
        )
    answer: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return answer


def _registered_in_python(archive: zipfile.ZipFile) -> frozenset[str]:
    """Return the overloads that any Python module of torch registers for MPS."""
    overloads: set[str] = set()
    for name in archive.namelist():
        if name.startswith("torch/") and name.endswith(".py"):
            source = archive.read(name)
            if b"MPS" in source and b"Library(" in source:
                overloads |= python_registrations(source)
    return frozenset(overloads)


def python_registrations(source: bytes) -> frozenset[str]:
    """Return the aten overloads that a Python file registers for MPS.

    It recognises the two forms that torch uses: ``lib.impl("name", kernel, "MPS")``, and ``lib.impl("name",
    kernel)`` with ``lib = Library("aten", "IMPL", "MPS")``.
    """
    overloads = set()
    libraries = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and re.search(
            r"\bLibrary\('aten', 'IMPL', 'MPS'\)", ast.unparse(node.value)
        ):
            libraries |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(ast.parse(source)):
        if not (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "impl"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            continue
        key = (
            node.args[2].value
            if len(node.args) > 2 and isinstance(node.args[2], ast.Constant)
            else None
        )
        if key == "MPS" or (key is None and ast.unparse(node.func.value) in libraries):
            overloads.add(str(node.args[0].value).removeprefix("aten::"))
    return frozenset(overloads)


def _constant(source: str, name: str) -> str:
    match = re.search(rf"^{name} = '([^']+)'$", source, re.MULTILINE)
    if match is None:
        raise UserError(f"torch/version.py does not define {name}", "use a released wheel of torch")
    return match[1]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
