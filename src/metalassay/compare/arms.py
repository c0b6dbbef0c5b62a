"""Resolve what the user names to two arms: two workloads, two environments, or two git revisions."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from metalassay.environment import interpreters
from metalassay.errors import UserError
from metalassay.workers import devices, specs
from metalassay.workers.specs import Arm


@contextlib.contextmanager
def resolve(
    a: str, b: str, of: str | None = None, device: str = "cpu"
) -> Iterator[tuple[Arm, Arm]]:
    """Yield the arms that ``a`` and ``b`` name.

    Without ``of`` both are workloads or functions. With it, ``of`` is what runs, and each is an
    environment (a Python, or a folder with one) or a revision of the git repository around the
    working directory, which is checked out into a temporary folder. ``device`` is that of a workload
    that names none; "auto" is the first of mps, cuda and cpu that works in the first arm's environment,
    so that both arms have the same. Raises ``UserError``.
    """
    with contextlib.ExitStack() as stack:
        if of is None:
            texts = (a, b)
            for text in texts:
                _workload(text, "cpu")  # a mistake is reported before torch is imported
            taken = _device(device, sys.executable, texts)
            yield _workload(a, taken), _workload(b, taken)
            return
        specs.parse(of)
        python = interpreters.find(a) if Path(a).exists() or _is_python(a) else sys.executable
        spec = specs.parse(of, _device(device, python, (of,)))
        arms = []
        for place in (a, b):
            if Path(place).exists() or _is_python(place):
                python = interpreters.find(place)
                interpreters.versions_of(python, ())  # raises UserError if it does not run
                arms.append(Arm(place, spec, python))
            else:
                folder = stack.enter_context(_checkout(place, spec))
                arms.append(Arm(place, spec, sys.executable, folder))
        yield arms[0], arms[1]


def _device(wanted: str, python: str, texts: Sequence[str]) -> str:
    """Return the device for those workloads that name none; nothing is tried where all name one."""
    if all(specs.parse(text, "mps").device == specs.parse(text).device for text in texts):
        return "cpu"
    return devices.take(wanted, python).device


def _is_python(name: str) -> bool:
    """Whether ``name`` is a Python on the PATH; other programs (HEAD is one) may be revisions."""
    return name.startswith(("python", "pypy")) and shutil.which(name) is not None


def _workload(text: str, device: str) -> Arm:
    spec = specs.parse(text, device)
    if spec.kind != "workload" and not Path(spec.name).is_file():
        raise UserError(f"{spec.name}: no such file", "name a Python file, as in bench.py::step")
    return Arm(spec.text(), spec, sys.executable)


@contextlib.contextmanager
def _checkout(revision: str, spec: specs.Spec) -> Iterator[Path]:
    """Check a revision out; yield the folder that corresponds to the working directory."""
    if spec.kind == "workload":
        raise UserError(
            f"{revision} is a revision, but the workload {spec.name} is not in your repository",
            "name a function of the repository, as in: --of bench.py::step",
        )
    top = Path(_git("rev-parse", "--show-toplevel").decode().strip())
    # Without --end-of-options a name that starts with a dash would be an option.
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    archive = _git("archive", "--format=tar", commit.decode().strip(), cwd=top)
    with tempfile.TemporaryDirectory(prefix="metalassay-") as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            if hasattr(tarfile, "data_filter"):  # Python 3.11.4 and later
                tar.extractall(folder, filter="data")
            else:
                tar.extractall(folder)  # noqa: S202  (git wrote it from the user's own repository)
        here = folder / Path.cwd().resolve().relative_to(top.resolve())
        if spec.kind != "workload" and not (here / spec.name).is_file():
            raise UserError(
                f"{spec.name} is not in revision {revision}",
                "commit the benchmark first, or name revisions that have it",
            )
        here.mkdir(parents=True, exist_ok=True)
        yield here


def _git(*arguments: str, cwd: Path | None = None) -> bytes:
    try:
        return subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607  (the user's git)
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            cwd=cwd,
        ).stdout
    except FileNotFoundError:
        raise UserError("git is not installed", "name two environments instead") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", "replace").strip().splitlines()
        wanted = arguments[-1].removesuffix("^{commit}")
        raise UserError(
            f"{wanted}: neither an environment nor a git revision{': ' + lines[-1] if lines else ''}",
            "name two folders with a Python, or two revisions of this repository",
        ) from None
