"""Run an accelerate release's own tests twice, stock and with all our patches, and compare.

Started by ``nox -s upstream``, inside the environment of one row of ``[upstream]`` in matrix.toml.
The tests come from the release's source distribution, which pip fetches from its configured index;
they run against the installed package, in a temporary folder that is removed afterwards. In the
patched run the patches are active in every Python process, launched children included.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from metalassay import files, patches
from metalassay.environment import versions
from metalassay.matrix import matrix_file

ROOT = Path(__file__).parents[1]
OUTCOMES = ("passed", "skipped", "failed")

# At its end each process records whether it had the patches.
SITECUSTOMIZE = """\
import atexit, json, os, sys
import metalassay.patches

metalassay.patches.install()


def write_note():
    module = sys.modules.get("accelerate.data_loader")
    if module is not None:
        loop = module.DataLoaderShard.__iter__
        note = {"patched": hasattr(loop, "__wrapped__"), "program": sys.argv}
        with open(os.path.join(os.environ["METALASSAY_NOTES"], f"{os.getpid()}.json"), "w") as file:
            json.dump(note, file)


atexit.register(write_note)
"""
PROBE = "import accelerate.data_loader"


def download(version: str, folder: Path) -> Path:
    """Return the release's source distribution, fetched with pip into ``folder``."""
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", "accelerate", "--dest", str(folder), f"accelerate=={version}"]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("accelerate-*.tar.gz")
    return archive


def unpack_tests(archive: Path, folder: Path) -> None:
    """Unpack only ``tests/`` of the archive, as ``folder``/tests."""
    with tarfile.open(archive) as tar:
        wanted = []
        for member in tar.getmembers():
            rest = PurePosixPath(member.name).parts[1:]  # below the folder named after the release
            if rest[:1] == ("tests",):
                wanted.append(member.replace(name=str(PurePosixPath(*rest)), deep=False))
        if not wanted:
            raise SystemExit(f"{archive.name} contains no tests")
        tar.extractall(folder, members=wanted, filter="data")


def run_tests(
    folder: Path, tests: Sequence[str], left_out: list[str], patched: bool
) -> dict[str, str]:
    """Run pytest in ``folder`` with its progress in the terminal; return the outcome of each test."""
    results = folder / f"{'patched' if patched else 'stock'}.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider"]
    command += ["--tb=short", "-W", "ignore", f"--junitxml={results}", *tests]
    if left_out:
        command += ["-k", " and ".join(f"not {name}" for name in left_out)]
    done = subprocess.run(command, cwd=folder, env=environment(folder, patched), check=False)
    if done.returncode not in (0, 1):  # 1: a test failed, as it may in both runs
        raise SystemExit(f"pytest could not run the tests: exit code {done.returncode}")
    return outcomes(results.read_text("utf-8"))


def environment(folder: Path, patched: bool) -> dict[str, str]:
    """Return the environment variables of a run: no network, one thread, with or without patches."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if patched:
        site = folder / "site"
        (folder / "notes").mkdir(exist_ok=True)
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITECUSTOMIZE)
        paths = [str(site), *filter(None, [env.get("PYTHONPATH")])]
        env |= {"PYTHONPATH": os.pathsep.join(paths), "METALASSAY_NOTES": str(folder / "notes")}
    return env


def launch_probe(folder: Path) -> None:
    """Start one child through ``accelerate launch``, which must have the patches too."""
    probe = folder / "probe.py"
    probe.write_text(PROBE)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    subprocess.run([*command, str(probe)], cwd=folder, env=environment(folder, True), check=True)


def patched_processes(folder: Path) -> list[str]:
    """Return the programs of all processes of the patched run; exit with 1 if one had no patches."""
    notes = [json.loads(path.read_text()) for path in sorted((folder / "notes").glob("*.json"))]
    stock = [" ".join(note["program"]) for note in notes if not note["patched"]]
    if stock:
        raise SystemExit(f"the patches were not active in: {'; '.join(stock)}")
    if not any(note["program"][0].endswith("probe.py") for note in notes):
        raise SystemExit("the launched child wrote no note: it did not import sitecustomize")
    return ["/".join(Path(note["program"][0]).parts[-2:]) for note in notes]


def outcomes(junit: str) -> dict[str, str]:
    """Return the outcome by test, from pytest's JUnit XML; an error counts as a failure."""
    results: dict[str, str] = {}
    for case in ElementTree.fromstring(junit).iter("testcase"):  # noqa: S314  (pytest wrote it)
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"} or results.get(name) == "failed":
            results[name] = "failed"
        else:
            results[name] = "skipped" if "skipped" in kinds else "passed"
    return results


def differences(stock: dict[str, str], patched: dict[str, str]) -> list[dict[str, str]]:
    """Return the tests whose outcomes differ, or that only one of the runs has."""
    return [
        {
            "test": name,
            "stock": stock.get(name, "not there"),
            "patched": patched.get(name, "not there"),
        }
        for name in sorted(stock.keys() | patched.keys())
        if stock.get(name) != patched.get(name)
    ]


def counts(results: Iterable[str]) -> dict[str, int]:
    """Return the number of tests by outcome, zeros included."""
    counted = Counter(results)
    return {outcome: counted[outcome] for outcome in OUTCOMES}


def table(record: dict[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    lines = [f"accelerate {record['versions']['accelerate']}, its own tests:"]
    for run in ("stock", "patched"):
        numbers = [f"{record[run][outcome]:>3} {outcome}" for outcome in OUTCOMES]
        lines.append(f"  {run:<8} {'  '.join(numbers)}")
    lines.append(f"  patched processes: {len(record['patched_processes'])}")
    lines += [f"  left out: {test['test']}: {test['reason']}" for test in record["left_out"]]
    lines += [f"  failed in both: {test}" for test in record["failed_in_both"]]
    lines += [
        f"  DIFFERENT: {test['test']}: {test['stock']} stock, {test['patched']} patched"
        for test in record["differences"]
    ]
    if not record["differences"]:
        lines.append("  no difference: the same tests, the same outcomes")
    return "\n".join(lines)


def main() -> None:
    """Run one row; exit with 1 when an outcome differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("row", help="the id of a row of [upstream] in matrix.toml")
    row_id = parser.parse_args().row
    upstream = matrix_file.load(ROOT).upstream
    version = metadata.version("accelerate")
    started, began = datetime.datetime.now(datetime.UTC), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack_tests(download(version, folder), folder)
        left_out = [test["test"] for test in upstream.left_out]
        runs = {}
        for run in ("stock", "patched"):
            print(f"accelerate {version}, {run}:", flush=True)
            runs[run] = run_tests(folder, upstream.tests, left_out, run == "patched")
        launch_probe(folder)
        programs = patched_processes(folder)
    stock, patched = runs["stock"], runs["patched"]
    if "passed" not in stock.values():
        raise SystemExit("no test passed: there is nothing to compare")
    record = {
        "schema": "metalassay.upstream/1",
        "id": row_id,
        "command": f'nox -s "upstream({row_id})"',
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 1),
        "versions": versions.installed(),
        "patches": patches.names(),
        "patched_processes": programs,
        "left_out": list(upstream.left_out),
        "stock": counts(stock.values()),
        "patched": counts(patched.values()),
        "failed_in_both": sorted(
            test for test in stock if stock[test] == patched.get(test) == "failed"
        ),
        "differences": differences(stock, patched),
        "tests": stock,
    }
    target = ROOT / "reports" / "upstream" / f"{row_id}.json"
    files.write_atomically(target, json.dumps(record, indent=1))
    print(f"{table(record)}\n  written to {target.relative_to(ROOT)}")
    raise SystemExit(1 if record["differences"] else 0)


if __name__ == "__main__":
    main()
