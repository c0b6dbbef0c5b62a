"""The published JSON schemas: as the code says, true of every file that is kept, and of what the writers write now."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import json_schemas
import pytest
from jsonschema import Draft202012Validator

from metalassay.environment import versions
from metalassay.machine import hardware
from metalassay.results import ask_file, max_batch_file
from metalassay.results.max_batch_file import NAME as MAX_BATCH
from metalassay.results.smoke_file import NAME as SMOKE
from metalassay.results.verdict_file import NAME as COMPAT

ROOT = Path(__file__).resolve().parents[2]
NAMES = {COMPAT: "compat-1", SMOKE: "smoke-1", MAX_BATCH: "max-batch-1", ask_file.NAME: "ask-1"}


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(json_schemas.documents()[f"{name}.json"]))


VALIDATORS = {name: validator(name) for name in json_schemas.WRITTEN}


def format_of(document: Any) -> str | None:
    """Return the name of the schema that a document follows; None if it is of another format."""
    if not isinstance(document, dict):
        return None
    schema = document.get("schema")
    if isinstance(schema, str):
        return NAMES.get(schema.rpartition("/")[0])
    return "benchmarks-1" if {"machine_info", "benchmarks"} <= document.keys() else None


def errors(document: Any, name: str = "") -> list[str]:
    found = VALIDATORS[name or str(format_of(document))].iter_errors(document)
    return [f"{'/'.join(map(str, error.path))}: {error.message[:200]}" for error in found]


def test_the_files_are_as_the_code_says() -> None:
    written = {path.name: path.read_text("utf-8") for path in json_schemas.FOLDER.glob("*.json")}
    assert written == json_schemas.documents(), "python tools/json_schemas.py"


@pytest.mark.parametrize("name", json_schemas.WRITTEN)
def test_they_are_schemas(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(json_schemas.documents()[f"{name}.json"]))


def test_every_file_that_is_kept_follows_its_schema() -> None:
    seen = dict.fromkeys(json_schemas.WRITTEN, 0)
    for folder in ("docs/evidence", "docs/results"):
        for path in (ROOT / folder).rglob("*.json"):
            document = json.loads(path.read_bytes())
            if name := format_of(document):
                seen[name] += 1
                assert errors(document) == [], path
    assert seen["compat-1"] > 50
    assert seen["smoke-1"] > 50
    assert seen["benchmarks-1"] > 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("set",), None),
        (("bugs", 0, "verdict"), 3),
        (("bugs", 0, "affected"), "yes"),
        (("seconds",), "long"),
        (("schema",), "metalassay.compat/2"),
    ],
)
def test_another_type_or_a_missing_member_is_an_error(place: tuple[Any, ...], value: Any) -> None:
    document = json.loads((ROOT / "docs/evidence/compat/boundary-1.8.0.json").read_bytes())
    *above, last = place
    inner = document
    for each in above:
        inner = inner[each]
    inner[last] = value
    assert errors(document, "compat-1")
    del inner[last]
    assert (errors(document, "compat-1") == []) is (last in ("affected", "seconds"))


def test_a_search_for_the_largest_batch_follows_its_schema() -> None:
    tries = max_batch_file.as_tries(())
    document = max_batch_file.document(
        workload="gpt-tiny", mode="train", device="cpu", dtype="float32", threads=1, malloc="tuned",
        emulated=False, tries=[*tries, {"batch": 1, "fits": True, "peak_rss": 5, "driver_seen": None, "why": ""}],
        started="2026-01-01T00:00:00+00:00", seconds=1.0, versions=versions.installed(), machine=hardware.probe(),
    )  # fmt: skip
    assert errors(json.loads(json.dumps(document))) == []


def test_the_answers_about_a_model_follow_their_schema() -> None:
    about = {"device": "cpu", "batch_size": 8, "parameters": 10, "stand_in": False, "torch": "2.13.0", "threads": 2,
             "devices": {"cpu": "", "mps": "no Metal"}, "emulated": {"cpu": False}}  # fmt: skip
    document = ask_file.document(
        model="my.py", started=datetime.now(UTC), about=about, versions=versions.installed(),
        machine=hardware.probe(),
    )  # fmt: skip
    document["roofline"] = {"text": ["a line"], "gflop_s": 3.0}
    assert errors(json.loads(json.dumps(document))) == []
    document["roofline"] = {"text": "a line"}
    assert errors(json.loads(json.dumps(document))) != []


@pytest.mark.slow
def test_what_the_benchmarks_write_follows_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "benchmarks"]
    command += ["-k", "gpt-tiny-b4-infer", "--device=cpu", "--benchmark-max-time=0.1"]
    ran = subprocess.run(
        [*command, f"--benchmark-json={file}"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout
    assert errors(json.loads(file.read_bytes())) == []


@pytest.mark.slow
def test_what_the_compatibility_tests_write_follows_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["compat/test_torch.py", f"--verdicts={file}"]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    (written,) = tmp_path.iterdir()  # a narrowed run has a name of its own
    assert errors(json.loads(written.read_bytes())) == []
