"""The start-up hook in real processes: what it brings, what it leaves alone, and that it is harmless."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from child_run import PACKAGE, PATCHES, STARTUP, Ended, find_python, run

from metalassay import patches
from metalassay.supervise import protocol

LIBRARY_OF_OURS = """
import importlib, pkgutil, sys
import metalassay.child
print(metalassay.__file__)
for name in ("packaging", "psutil"):
    sys.modules[name] = None
for module in pkgutil.iter_modules(metalassay.child.__path__):
    if module.name != "startup":
        importlib.import_module(f"metalassay.child.{module.name}")
for name in ("guard", "keepalive", "patches"):
    importlib.import_module(f"metalassay.{name}")
print("imported")
"""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The hook as a module, outside a run: it only imports the sitecustomize that it hides."""
    monkeypatch.delenv(protocol.FOLDER_VARIABLE, raising=False)
    spec = importlib.util.spec_from_file_location("hook", STARTUP / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("sitecustomize")
    spec.loader.exec_module(module)
    if before is not None:
        sys.modules["sitecustomize"] = before
    return module


def without_the_hook(command: list[str], path: Path | str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_process_says_that_it_started() -> None:
    ended = run([sys.executable, "-c", "import os; print(os.getpid())"])
    assert (ended.code, ended.err) == (0, "")
    assert ended.messages == (
        {
            "pid": int(ended.out),
            "kind": "started",
            "python": ".".join(map(str, sys.version_info[:3])),
            "executable": sys.executable,
            "program": "-c",
            "worker": False,
        },
    )


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("python train.py -m other", "train.py"),
        ("python -u -X dev -W error train.py", "train.py"),
        ("python -Xdev -Werror train.py", "train.py"),
        ("python --check-hash-based-pycs always train.py", "train.py"),
        ("python -m accelerate.commands.launch train.py", "-m accelerate.commands.launch"),
        ("python -um pytest -c file", "-m pytest"),
        ("python -mpytest", "-m pytest"),
        ("python -Bc pass", "-c"),
        ("python -", "-"),
        ("python", ""),
    ],
)
def test_the_program_of_a_command_line(hook: Any, command: str, program: str) -> None:
    assert hook._program(command.split()) == program


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)", "worker"),
        ("from multiprocessing.forkserver import main; main(8, 9, ['__main__'])", "worker"),
        ("from multiprocessing.resource_tracker import main;main(4)", "helper"),
        ("print()", "program"),
    ],
)
def test_workers_and_helpers_are_told_from_programs(hook: Any, code: str, kind: str) -> None:
    assert hook._kind(["python", "-c", code]) == kind
    assert hook._kind(["python", "train.py"]) == "program"
    assert hook._kind(["python", "-c"]) == "program"


def test_the_modules_that_it_waits_for_are_those_of_all_patches(hook: Any) -> None:
    assert {patches.load(name).TARGET for name in patches.names()} <= set(hook._MODULES)
    assert set(PATCHES) == set(patches.names())


def test_it_imports_almost_nothing() -> None:
    code = "import sys; print('\\n'.join(sys.modules))"
    plain = set(without_the_hook([sys.executable, "-c", code]).stdout.split())
    ended = run([sys.executable, "-c", code])
    assert "metalassay.after_import" in ended.out
    allowed = {"metalassay.after_import", "sitecustomize", "atexit", "_socket", "_json"}
    allowed |= {"importlib", "importlib.machinery", "importlib._bootstrap", "_warnings", "warnings"}
    allowed |= {"importlib._bootstrap_external", "__future__"}
    assert set(ended.out.split()) - plain <= allowed


def test_its_folder_leaves_the_path_and_stays_for_processes_below() -> None:
    code = (
        "import subprocess, sys; print(sys.path, flush=True);"
        " subprocess.run([sys.executable, '-c', 'print(1)'])"
    )
    ended = run([sys.executable, "-c", code])
    assert str(STARTUP) not in ended.out
    assert len(ended.of("started")) == 2


def test_the_sitecustomize_that_it_hides_runs_as_it_would(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs', __file__)\n")
    code = "import sys, sitecustomize; print(sitecustomize.__file__)"
    ended = run([sys.executable, "-c", code], path=[tmp_path])
    assert ended.out == f"theirs {tmp_path}/sitecustomize.py\n{tmp_path}/sitecustomize.py\n"
    assert len(ended.of("started")) == 1


@pytest.mark.parametrize(
    "broken", ["1 / 0", "import not_there_at_all", "def", "raise SystemError('theirs')"]
)
def test_an_error_of_the_sitecustomize_that_it_hides_is_reported_as_it_would_be(
    tmp_path: Path, broken: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(broken + "\n")
    command = [sys.executable, "-c", "print('ran')"]
    ended, plain = run(command, path=[tmp_path]), without_the_hook(command, tmp_path)
    assert "sitecustomize" in plain.stderr
    assert (ended.code, ended.out, ended.err) == (plain.returncode, plain.stdout, plain.stderr)


def test_outside_a_run_it_does_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('metalassay.after_import' in sys.modules)"]
    for folder in ("", str(tmp_path / "gone")):
        ended = run(command, variables={protocol.FOLDER_VARIABLE: folder})
        assert (ended.code, ended.out, ended.err) == (0, "False\n", "")
        assert ended.messages == ()


def test_a_run_that_has_ended_meanwhile_is_no_error(tmp_path: Path) -> None:
    fake = accelerate_in(tmp_path, "class DataLoaderShard: pass")
    code = (
        "import os, shutil; shutil.rmtree(os.environ['METALASSAY_RUN'] + '/');"
        " os.mkdir(os.environ['METALASSAY_RUN']); import accelerate.data_loader; print('ran')"
    )
    ended = run([sys.executable, "-c", code], path=[fake])
    assert (ended.code, ended.out, ended.err) == (0, "ran\n", "")


def accelerate_in(folder: Path, source: str) -> Path:
    package = folder / "packages" / "accelerate"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '99.0'\n")
    (package / "data_loader.py").write_text(source + "\n")
    return package.parent


def test_a_configuration_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    fake = accelerate_in(tmp_path, "class DataLoaderShard: pass")
    code = (
        "import os; open(os.environ['METALASSAY_RUN'] + '/config.json', 'w').write('{');"
        " import accelerate.data_loader; import metalassay.keepalive as k; print('ran', k.step())"
    )
    ended = run([sys.executable, "-c", code], path=[fake])
    assert (ended.code, ended.out) == (0, "ran None\n")
    (line,) = ended.err.splitlines()
    assert line.startswith("metalassay: JSONDecodeError: ")


def test_a_library_that_a_path_file_imported_before_is_patched_too(tmp_path: Path) -> None:
    fake = accelerate_in(tmp_path, "def prepare_data_loader(d): return d.n_shard")
    venv.create(tmp_path / "env", symlinks=True)
    (site,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "early.pth").write_text(f"{fake}\nimport accelerate.data_loader\n")
    code = "import sys, accelerate.data_loader as d; print(d.prepare_data_loader.__code__.co_names)"
    ended = run(
        [tmp_path / "env/bin/python", "-c", code],
        patches=("accelerate_n_shard_typo",),
        guard=False,
    )
    assert ended.out == "('n_shards',)\n", ended.err
    assert [each["patch"] for each in ended.of("patched")] == ["accelerate_n_shard_typo"]


def test_an_environment_without_metalassay_gets_it_from_the_run(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    ended = run([tmp_path / "env/bin/python", "-c", LIBRARY_OF_OURS], cwd=tmp_path)
    assert ended.out == f"{PACKAGE / '__init__.py'}\nimported\n", ended.err


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_it_works_in_each_python_that_is_here(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    fake = accelerate_in(tmp_path, "def prepare_data_loader(d): return d.n_shard")
    code = LIBRARY_OF_OURS + (
        "import accelerate.data_loader as d; print(d.prepare_data_loader.__code__.co_names)\n"
        "raise SystemError('the end')"
    )
    ended = run([python, "-c", code], path=[fake], patches=PATCHES[3:], guard=False)
    assert ended.out.splitlines()[1:] == ["imported", "('n_shards',)"], ended.err
    assert [each["exception"] for each in ended.of("ended")] == ["SystemError: the end"]
    assert ended.of("started")[0]["python"].startswith(version + ".")


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.8", "3.9"])
def test_an_old_python_says_it_in_one_line_and_goes_on(version: str, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    (tmp_path / "sitecustomize.py").write_text("print('theirs')\n")
    ended = run([python, "-c", "print('ran')"], path=[tmp_path])
    assert (ended.code, ended.out) == (0, "theirs\nran\n")
    assert ended.err == (
        f"metalassay: Python {version} gets no patches and no guard here; the oldest that does is 3.10\n"
    )


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_a_python_that_ignores_the_environment_runs_as_ever_and_says_nothing(option: str) -> None:
    ended = run([sys.executable, option, "-c", "print('ran')"])
    assert (ended.code, ended.out, ended.err, ended.messages) == (0, "ran\n", "", ())


def test_its_own_error_is_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "metalassay" / "child" / "startup"
    broken.mkdir(parents=True)
    (broken / "sitecustomize.py").write_text((STARTUP / "sitecustomize.py").read_text())
    (tmp_path / "metalassay" / "after_import.py").write_text("raise RuntimeError('two\\nlines')")
    command = [sys.executable, "-c", "print('ran')"]
    ended = run(command, variables={"PYTHONPATH": str(broken)})
    assert (ended.code, ended.out) == (0, "ran\n")
    assert ended.err == "metalassay: RuntimeError: two lines\n"


def test_a_process_without_stderr_is_not_disturbed(tmp_path: Path) -> None:
    code = f"""
import os, sys
os.close(2)
os.execv(sys.executable, [sys.executable, "-c", "open({str(tmp_path / "ran")!r}, 'w').close()"])
"""
    ended = run([sys.executable, "-c", code], variables={"METALASSAY_TEST": json.dumps(1)})
    assert ended.code == 0
    assert (tmp_path / "ran").exists()


def messages_of(ended: Ended) -> list[str]:
    return [message["kind"] for message in ended.messages]


def test_an_exit_is_not_an_exception_that_ended_the_program() -> None:
    assert messages_of(run([sys.executable, "-c", "raise SystemExit('no')"])) == ["started"]
    assert messages_of(run([sys.executable, "-c", "1 / 0"])) == ["started", "ended"]
    # As pytest does it: the exception of a test that failed, in a program that goes on.
    kept = "import sys\ntry: (lambda: 1 / 0)()\nexcept Exception as e: sys.last_value = e.with_traceback(e.__traceback__.tb_next)"
    assert messages_of(run([sys.executable, "-c", kept])) == ["started"]
