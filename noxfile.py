"""The nox sessions. `nox` alone runs the main ones: quick matrix, MPS tests, benchmark, report."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nox

# Neither metalassay nor its dependencies are installed where nox runs: what is imported here takes
# the standard library and what nox itself depends on (packaging).
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from metalassay.errors import UserError
from metalassay.matrix import (
    durations,
    environments,
    matrix_file,
    progress,
    resolver,
    run_row,
)
from metalassay.matrix.ahead import Ahead
from metalassay.matrix.resolver import Failure

nox.needs_version = ">=2026.8.10"  # the first with --parallel
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"

SESSIONS = ("bench", "bisect", "emulated", "tests")  # what they install is in matrix.toml

try:
    MATRIX = matrix_file.load(Path(), SESSIONS)
except UserError as error:
    sys.stderr.write(f"nox: {error.message}\n  next: {error.next_step}\n")
    sys.exit(error.exit_code)
PYPROJECT = nox.project.load_toml("pyproject.toml")
TESTED = ["-e", ".[bench,completion,emulator,report,train]"]  # what metalassay's own tests take
# Without MLX every one of its tests would be skipped, and the session be green.
MLX_RUNS = "import sys; from metalassay.workloads import mlx_registry; sys.exit(mlx_registry.missing() or 0)"
VERDICTS = Path("reports", "compat")
ENVIRONMENTS = Path(".nox")
DEFAULT = MATRIX.by_default()


def python(session: str) -> str | None:
    """Return the Python that a session needs, which uv may download; None where that of nox will do."""
    pythons = MATRIX.pythons.get(session, ())
    return None if not pythons or environments.runs_this(pythons) else pythons[0]


def install(session: nox.Session, *requirements: str) -> Failure | None:
    """Install the requirements unless they are installed already; return why that failed, or None.

    The resolver runs first: it takes a second, shows a conflict before anything is downloaded, and
    the real installation can then show its progress. Whatever is not a conflict is tried again.
    """
    key = json.dumps([requirements, environments.project(Path())])
    stamp = Path(session.virtualenv.location, "metalassay-installed.json")
    if stamp.exists() and stamp.read_text() == key:
        return None
    if stamp.exists():
        # A package that is not required any more would stay, and be tested as if it belonged.
        shutil.rmtree(session.virtualenv.location)
        session.virtualenv.create()
    failure = _attempt(session, requirements)
    for pause in run_row.PAUSES:
        if failure is None or failure.conflict:
            break
        session.warn(f"{failure.why}; trying again in {pause:.0f} s")
        time.sleep(pause)
        failure = _attempt(session, requirements)
    if failure is None:
        stamp.write_text(key)
    return failure


def _attempt(session: nox.Session, requirements: Sequence[str]) -> Failure | None:
    env = resolver.for_uv()
    with tempfile.TemporaryFile("w+") as log:
        try:
            session.install("--dry-run", *requirements, env=env, silent=False, stdout=log)
        except nox.command.CommandFailed:
            log.seek(0)
            output = log.read()
            if why := resolver.conflict(output):
                return Failure(why, conflict=True)
            return Failure(resolver.failure_reason(output))
    try:
        session.install(*requirements, env=env, silent=False)
    except nox.command.CommandFailed:
        return Failure(
            "it resolves, but the installation failed; see the installer's message above"
        )
    return None


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def must_install(session: nox.Session, *requirements: str) -> None:
    """Install, or end the session with the reason."""
    if failure := install(session, *requirements):
        session.error(f"cannot install {' '.join(requirements)}: {failure.why}")


AHEAD: list[Ahead] = []  # the first row of a run begins to resolve those after it


def run_one(session: nox.Session, row: matrix_file.Row) -> None:
    """Run one version set and test whether bugs/data/ is right about it."""
    if session.parallel:
        session.log("the tables of all rows: nox -s report")
    else:
        session.notify("report")
        waiting = still_to_run(session, row)
        session.log(how_far(row, waiting))
        if not AHEAD and len(waiting) > 1:
            AHEAD.append(Ahead([MATRIX.rows[each] for each in waiting], Path()))
    own = ("--fresh", "--strict")
    options = run_row.Options(
        root=Path(),
        output=VERDICTS,
        environments=ENVIRONMENTS,
        fresh="--fresh" in session.posargs,
        strict="--strict" in session.posargs,
        arguments=tuple(argument for argument in session.posargs if argument not in own),
        say=session.log,
        ahead=AHEAD[0] if AHEAD else None,
    )
    try:
        outcome = run_row.run(row, options)
    except UserError as error:
        session.error(f"{error.message}; next: {error.next_step}")
    if outcome.state == run_row.SKIPPED:
        session.skip(outcome.why)
    if outcome.state == run_row.NOT_INSTALLABLE:
        session.skip(f"not installable: {outcome.why}")
    if outcome.state == run_row.ERROR:
        session.error(
            f"{outcome.why}; this is not a verdict on {row.id}, and {VERDICTS / row.id}.json is"
            f" unchanged; next: {run_row.command(row)}"
        )
    if outcome.state == run_row.RED:
        session.error(progress.as_line(outcome))
    session.log(progress.as_line(outcome))


def still_to_run(session: nox.Session, row: matrix_file.Row) -> list[str]:
    """Return the ids of this row and of those after it."""
    # nox tells a session nothing of the others; what is still to run is in its manifest.
    names = [each.friendly_name for each in session._runner.manifest._queue]
    ids = [name.removeprefix("compat(").removesuffix(")") for name in names]
    return [row.id, *(each for each in ids if each in MATRIX.rows and each != row.id)]


def how_far(row: matrix_file.Row, rows: Sequence[str]) -> str:
    """Say how many rows follow this one, and how long all of them will take."""
    known = durations.recorded(rows, [VERDICTS, durations.EVIDENCE])
    left = durations.estimate(rows, known)
    time_left = "" if left is None else f", about {progress.as_time(left)} if none is unchanged"
    more = len(rows) - 1
    return f"{row.id}; {more} more row{'' if more == 1 else 's'} after it{time_left}"


@nox.session(allow_parallel=True, venv_backend="none")
@nox.parametrize("row", [nox.param(row.id, id=row.id, tags=list(row.tags)) for row in DEFAULT])
def compat(session: nox.Session, row: str) -> None:
    """Install a version set of matrix.toml and test every known bug on it."""
    run_one(session, MATRIX.rows[row])


for row in MATRIX.rows.values():
    if row not in DEFAULT and row.runs == matrix_file.COMPAT:

        def selected(session: nox.Session, row: matrix_file.Row = row) -> None:  # noqa: D103
            run_one(session, row)

        selected.__doc__ = row.reason
        name = f"compat({row.id})"
        nox.session(
            name=name, tags=list(row.tags), default=False, allow_parallel=True, venv_backend="none"
        )(selected)


@nox.session(python=python("bench"))
def bench(session: nox.Session) -> None:
    """Time the workloads on this machine."""
    session.notify("report")
    must_install(session, "-e", ".[bench]", *MATRIX.requires["bench"])
    # No row of the matrix runs beside a benchmark: each of them shares this lock.
    with environments.alone(
        environments.all_of(ENVIRONMENTS),
        waits=lambda: session.log("waits for rows of the matrix that run"),
    ):
        session.run("pytest", "benchmarks", "--benchmark-autosave", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Make the tables from everything under reports/, and print them."""
    must_install(session, "-e", ".[report]")
    # On a GitHub runner the summary appears on the page of the job.
    summary = ["--summary"] if "GITHUB_STEP_SUMMARY" in os.environ else []
    session.run("metalassay", "report", *summary)


@nox.session(default=False)
def bisect(session: nox.Session) -> None:
    """Find the releases between which a bug appears or disappears: nox -s bisect -- BUG."""
    must_install(session, "-e", ".[compat]", *MATRIX.requires["bisect"])
    session.run("metalassay", "bisect", *session.posargs)


@nox.session(default=False)
def fresh(session: nox.Session) -> None:
    """Train a few steps with one release pinned and today's newest of everything else."""
    must_install(session, "-e", ".")
    session.run("metalassay", "matrix", "run", "--tag", "fresh", *session.posargs)


@nox.session(default=False)
def resolve(session: nox.Session) -> None:
    """Find out which rows can be installed, on Linux and on macOS; downloads nothing."""
    must_install(session, "-e", ".")
    session.run("metalassay", "resolve", *session.posargs, env=resolver.for_uv())


@nox.session(default=False)
@nox.parametrize("row", [nox.param(row, id=row) for row in MATRIX.upstream.rows])
def upstream(session: nox.Session, row: str) -> None:
    """Run a release's own tests, stock and patched: every test must have the same outcome in both."""
    must_install(session, "-e", ".", *MATRIX.upstream.requires, *MATRIX.upstream.rows[row])
    session.run("python", "tools/upstream_tests.py", row)


@nox.session(default=False)
def oracle(session: nox.Session) -> None:
    """Read the operators of every torch from its macOS wheel: nox -s oracle -- --missing."""
    must_install(session, "-e", ".", *group("oracle"))
    session.run("python", "tools/oracle.py", *session.posargs)


@nox.session(default=False)
def api(session: nox.Session) -> None:
    """Read which release has which name and argument from the wheels again: nox -s api -- trl."""
    must_install(session, "-e", ".", *group("api"))
    session.run("python", "tools/api_history.py", *session.posargs)


@nox.session(default=False, python=python("tests"))
def tests(session: nox.Session) -> None:
    """Test metalassay itself."""
    must_install(session, *TESTED, *group("tests"), *MATRIX.requires["tests"])
    # Many tests start programs that import torch: with its bytecode that takes half the time.
    with_bytecode = {"PYTHONDONTWRITEBYTECODE": None}
    if session.posargs:
        session.run("pytest", *session.posargs, env=with_bytecode)
        return
    failed = []
    for arguments in (("-n", "logical", "--dist", "loadfile", "-m", "not alone"), ("-m", "alone")):
        try:
            session.run("pytest", *arguments, env=with_bytecode)
        except nox.command.CommandFailed:
            failed.append(" ".join(arguments))
    if failed:
        session.error(f"failed: pytest {', and pytest '.join(failed)}")


@nox.session(default=False, python=python("tests"))
def mlx(session: nox.Session) -> None:
    """Test the workloads in MLX against PyTorch, on a Mac with Apple silicon or the CPU of Linux."""
    # Not with the other tests: training in MLX on a CPU takes minutes, and MLX has wheels for these machines only.
    must_install(
        session, "-e", ".[bench,mlx,report,train]", *group("tests"), *MATRIX.requires["tests"]
    )
    session.run("python", "-c", MLX_RUNS)
    session.run(
        *("pytest", "tests/workloads", "tests/workers", "-k", "mlx", *session.posargs),
        env={"PYTHONDONTWRITEBYTECODE": None},
    )


@nox.session(default=False, python=python("tests"))
def fuzz(session: nox.Session) -> None:
    """Feed hostile inputs to every command: nox -s fuzz -- --inputs 50000 [--seed N] [--command NAME]."""
    must_install(session, *TESTED, *group("tests"), *MATRIX.requires["tests"])
    session.run(
        "python", "-m", "tests.faults.fuzz", *session.posargs, env={"PYTHONDONTWRITEBYTECODE": None}
    )


@nox.session(default=False)
def fix(session: nox.Session) -> None:
    """Fix the five given environments of docs/fix.md, or more: nox -s fix -- --count 30."""
    must_install(session, "-e", ".[fleet,compat]", *MATRIX.requires["bench"])
    arguments = session.posargs or ["--count", "5"]
    work, output = f"{session.create_tmp()}/environments", "reports/fix/environments.json"
    tool = "tools/fix_environments.py"
    session.run("python", tool, "--work", work, "--output", output, *arguments)


@nox.session(default=False, python=python("emulated"))
def wheel(session: nox.Session) -> None:
    """Build the wheel and use it as a stranger does: outside of the checkout, also on an emulated mps."""
    folder = Path(session.create_tmp()).absolute()
    shutil.rmtree(folder / "dist", ignore_errors=True)
    must_install(session, "build", "uv")
    session.run(
        *["python", "-m", "build", "--installer", "uv", "--wheel", "--outdir"], str(folder / "dist")
    )
    (built,) = (folder / "dist").glob("*.whl")
    session.install("--reinstall-package", "metalassay", f"metalassay[emulator] @ {built.as_uri()}",
                    *MATRIX.requires["emulated"], env=resolver.for_uv())  # fmt: skip
    step = (
        "import torch; x = torch.ones(4, device='mps', requires_grad=True);"
        " (x * x).sum().backward(); assert x.grad.device.type == 'mps'; print('a step on', x.device)"
    )
    session.chdir(folder)
    session.run("metalassay", "--version")
    session.run("metalassay", "doctor", "--no-probe", success_codes=[0, 1])
    session.run(
        "metalassay", "explain", "UnboundLocalError: cannot access local variable 'current_batch'"
    )
    if sys.platform == "linux":
        session.run("metalassay", "run", "--emulate-mps", "--", "python", "-c", step)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Rehearse a release of the committed tree: build, checks, a local index, installations; publishes nothing."""
    must_install(session, "-e", ".", *group("release"))
    session.run("python", "tools/dry_release.py", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Test the report's page in a real browser, the one that BROWSER_BINARY names or PATH has."""
    must_install(session, "-e", ".[compat,report]", *group("browser"))
    required = {"BROWSER_REQUIRED": "1"}  # without it, no browser is a skip
    session.run("pytest", "tests/report/test_report_browser.py", *session.posargs, env=required)


@nox.session(default=False)
def emulated(session: nox.Session) -> None:
    """Test the emulated mps on a CPU build of torch, also against PyTorch's own list of failures."""
    must_install(session, "-e", ".[bench,emulator]", *MATRIX.requires["emulated"])
    session.run("pytest", "tests_emulated", *session.posargs)
    session.run("python", "tools/emulator_opinfo.py")
    session.run("python", "tools/emulator_transforms.py")
    session.run("python", "tools/emulator_dtypes.py")
    session.notify("suites", posargs=[])


@nox.session(default=False)
def suites(session: nox.Session) -> None:
    """Run other projects' tests on the CPU and on the emulated mps: nox -s suites -- --only timm."""
    must_install(session, "-e", ".", "pyyaml", "uv")
    session.run(
        *("python", "tools/emulator_suites.py", "--work", f"{session.create_tmp()}/suites"),
        *(session.posargs or ["--check"]),
    )


@nox.session(default=False)
def lint(session: nox.Session) -> None:
    """Check format, style, types, imports between rooms, and workflows."""
    must_install(session, *TESTED, *group("lint"), *MATRIX.requires["bench"])
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("codespell")
    session.run("actionlint")
    # Offline: which releases of an action have advisories is dependabot's to say.
    session.run("zizmor", "--offline", "--persona", "auditor", "--no-progress", ".github")
