"""The suite in an environment as it is: its verdicts, what dies, what cannot run, and what is left."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from metalassay.diagnosis import check
from metalassay.environment import suites
from metalassay.errors import UserError
from metalassay.results import verdict_file

KNOWN = "transformers-torch-extra-caps-torch"
CONFTEST = (Path(__file__).parents[2] / "compat" / "conftest.py").read_text("utf-8")


def suite(folder: Path, monkeypatch: pytest.MonkeyPatch, *tests: str) -> Path:
    """Make a suite with these bodies of tests of one bug, and let it be ours."""
    place = folder / "compat"
    place.mkdir()
    (place / "conftest.py").write_text(CONFTEST, "utf-8")
    (place / "__init__.py").touch()
    (place / "check.ini").write_text("[pytest]\nxfail_strict = true\n", "utf-8")
    text = "import os, signal, time\nimport pytest\n"
    for number, body in enumerate(tests):
        text += f"\n@pytest.mark.bug({KNOWN!r})\ndef test_{number}(upstream): {body}\n"
    (place / "test_made.py").write_text(text, "utf-8")
    monkeypatch.setattr(suites, "folder", lambda name: place)
    return place


def run(folder: Path, *ids: str, python: str | None = None) -> verdict_file.VersionSet:
    """Run the suite and return its verdicts."""
    return check.run(python, check.Wanted(ids), folder / "out" / "v.json").known


def test_a_pass_is_kept_with_what_was_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "pass")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--broken")
    known = run(tmp_path)
    assert not known.red
    assert not known.selection.partial
    assert known.command == "metalassay check"
    assert [bug.id for bug in known.bugs] == [KNOWN]
    assert known.origin.interpreter
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "v.json"]


def test_a_failure_is_red_and_one_bug_alone_is_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "raise ValueError('x')")
    known = run(tmp_path, KNOWN)
    assert known.red
    assert known.selection.partial == "--bug"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["v.partial"]


def test_a_test_that_ends_the_process_is_a_verdict_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "pass", "os.kill(os.getpid(), signal.SIGABRT)", "pass")
    [bug] = run(tmp_path).bugs
    assert bug.verdict == "crashed"
    assert [test.outcome for test in bug.tests].count("passed") == 2
    assert "SIGABRT" in bug.why


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("import json.nothing", "No module named 'json.nothing'"),
        ("raise RuntimeError('broken torch')", "broken torch"),
        ("pytest.exit('no')", "nothing was tested"),
    ],
)
def test_a_suite_that_cannot_be_collected_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, message: str
) -> None:
    place = suite(tmp_path, monkeypatch, "pass")
    file = place / "test_made.py"
    file.write_text(f"import pytest\n{first}\n{file.read_text('utf-8')}", "utf-8")
    with pytest.raises(UserError, match="nothing was tested") as error:
        run(tmp_path)
    assert message in error.value.message
    assert "\n" not in error.value.message
    assert not (tmp_path / "out").exists()


def test_progress_counts_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite(tmp_path, monkeypatch, "pass", "time.sleep(1)")
    seen: list[check.Progress] = []
    check.run(None, check.Wanted(), tmp_path / "v.json", seen.append)
    assert any(step == check.Progress(1, 2, "test_1[stock]") for step in seen)


def test_too_long_is_an_error_of_its_own_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(
        tmp_path,
        monkeypatch,
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())) and time.sleep(60)",
    )
    with pytest.raises(check.TooLongError):
        check.run(None, check.Wanted(), tmp_path / "v.json", timeout=4)
    if (tmp_path / "pid").exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_an_unknown_bug_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="there is no known bug 'accelerate-empty-sharp'") as error:
        check.check_ids(["accelerate-empty-sharp"])
    assert "accelerate-empty-shard" in error.value.next_step


def test_another_python_is_shown_pytest_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "pass")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    with check.prepared(sys.executable) as (command, variables):
        shown = Path(variables["PYTHONPATH"])
        names = {path.name for path in shown.iterdir()}
        assert {"metalassay", "pytest", "psutil", "compat"} <= names
        assert not {"torch", "numpy", "site-packages"} & names
        assert Path(command[4]).parent == shown
    assert not shown.exists()


@pytest.mark.slow
def test_the_real_suite_in_this_environment_by_its_path_alone(tmp_path: Path) -> None:
    done = check.run(sys.executable, check.Wanted((KNOWN,)), tmp_path / "v.json")
    assert [bug.id for bug in done.known.bugs] == [KNOWN]
    assert json.loads(done.file.read_text("utf-8"))["command"] == "metalassay check"


def test_a_package_that_cannot_be_imported_is_no_news_about_bugs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "raise ValueError('x')")
    assert run(tmp_path).red  # torch is fine here
    broken = tmp_path / "broken"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text("raise OSError('libtorch is not there')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    with pytest.raises(UserError, match=r"torch .* cannot be imported: OSError: libtorch"):
        run(tmp_path)


def test_the_files_of_the_working_directory_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "import json; json.dumps([])")
    here = tmp_path / "here"
    here.mkdir()
    for name in ("json", "random", "platform", "pytest"):
        (here / f"{name}.py").write_text("raise RuntimeError('the working directory')\n")
    monkeypatch.chdir(here)
    assert not run(tmp_path).red


def test_a_file_that_is_named_is_the_one_that_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite(tmp_path, monkeypatch, "pass")
    target = tmp_path / "torch-2.13.0"
    done = check.run(None, check.Wanted((KNOWN,)), target, exactly=True)
    assert (done.file, done.known.selection.partial) == (target, "--bug")
    assert verdict_file.partial_of(target).name == "torch-2.13.0.partial"
    assert verdict_file.partial_of(tmp_path / "a.json").name == "a.partial"


def test_verdicts_are_not_lost_with_the_file_they_were_meant_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder becomes a file while the tests run."""
    target = tmp_path / "out" / "v.json"
    suite(tmp_path, monkeypatch, f"open({str(target.parent)!r}, 'w').close()")
    done = check.run(None, check.Wanted(), target, exactly=True)
    assert json.loads(done.text)["command"] == "metalassay check"
    assert done.unwritten is not None
    assert done.unwritten.message.startswith(f"cannot write {target}: ")
