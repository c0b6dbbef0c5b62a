"""What a submission may contain: no secret in any field survives, and every field of every writer is known."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from constructed_runs import places

from metalassay.bench import suite
from metalassay.fields import FieldError
from metalassay.machine.conditions import Conditions
from metalassay.machine.hardware import Hardware
from metalassay.results import anonymise, max_batch_file, smoke_file, submit_schema, verdict_file
from metalassay.results.parse import SmokeSet, VersionSet, parse
from metalassay.smoke import child

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [
        *(ROOT / "docs" / "evidence").glob("*/*.json"),
        *(ROOT / "docs" / "results").glob("*.json"),
        *(ROOT / "tests" / "data" / "runs").glob("*.json"),
    ]
)
SECRETS = (
    "192.168.178.20",
    "10.1.2.3",
    "fe80::1c2d:3e4f%en0",
    "2001:db8::8a2e:370:7334",
    "alice@localhost",
    "alice@studio-alice",
    "alice\uff20example\uff0eorg",
    "C02XK1ABCDEF",
    "F4XQ2P9K7L",
    "alice-venv",
    "my_alice",
    "%2FUsers%2Falice%2Fx",
    "~alice/x",
    "ssh://alice@host/x",
    "file:///Users/alice/x.py",
    "/Users/alice/proj/x.py",
    "C:\\Users\\alice\\x.py",
    "\\\\alice-nas\\share",
    "alice-macbook.local",
    "build7.alice.example",
    "a4:83:e7:01:02:0f",
    "4C4C4544-0047-4A10-8034-B7C04F4D3832",
    "hf_aLiCeXbQwErTyUiOpAsDfGhJkLzXcVb",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "sk-proj-alice0123456789",
    "Alice Q. Example",
    "code/alice/train.py",
    "torch @ file:///Users/alice/w.whl",
    'File "/home/alice/x.py", line 3, in alice',
    "--bug=alice",
    "alice==1.0",
    "-k alice",
    "/Users/alice/env/lib/python3.11/site-packages/torch/nn.py",
    "/Users/alice/checkout/compat/test_mps.py",
    "00:11:22:33:44:55",
    "192.168. 17.23",
    "+491701 234567",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "alice_liddell/site-packages/torch/alice.py",
)
"""Each takes the place of a text, and stands behind it, before it and within a word of it."""


def samples() -> Iterator[tuple[str, Any]]:
    """Yield one file of each kind, small, with every field that occurs in files of the repository."""
    yield (
        "benchmarks",
        json.loads(
            (ROOT / "docs/results/metalassay-intel-xeon-2core-24gb-2026-11-28.json").read_text(
                "utf-8"
            )
        )
        | {"benchmarks": [BENCHMARK]},
    )
    verdicts = json.loads((ROOT / "docs/evidence/compat/newest.json").read_text("utf-8"))
    verdicts["bugs"] = verdicts["bugs"][:2]
    verdicts["origin"]["lock"] = verdicts["origin"]["lock"][:3]
    verdicts["other_failures"] = [
        {"test": "compat/test_x.py::test_x", "outcome": "crashed", "evidence": "killed"}
    ]
    verdicts["not_installable"] = None
    yield "verdicts", verdicts
    not_there = json.loads((ROOT / "docs/evidence/compat/guide-3-today.json").read_text("utf-8"))
    yield "not installable", not_there
    smoke = json.loads(
        (ROOT / "docs/evidence/fresh/fresh-accelerate-1.2.1.json").read_text("utf-8")
    )
    smoke["origin"]["lock"] = smoke["origin"]["lock"][:3]
    yield "smoke", smoke
    yield "largest batch", MAX_BATCH
    experiment = ROOT / "tests/data/runs/constructed_experiment_m4.json"
    yield "experiment", json.loads(experiment.read_text("utf-8"))


def _benchmark() -> Any:
    path = ROOT / "docs/results/metalassay-intel-xeon-2core-24gb-2026-11-28.json"
    one = json.loads(path.read_text("utf-8"))["benchmarks"][0]
    data = one["stats"]["data"][:3]
    one["stats"] |= {"data": data, "median": sorted(data)[1]}
    one["extra_info"]["marks"] = ["busy: a load of 4.5 on 2 processors"]
    one["extra_info"]["parity"] = "differs"
    return one


BENCHMARK = _benchmark()
MAX_BATCH = {
    "schema": "metalassay.maxbatch/1",
    "workload": "transit-cnn",
    "mode": "train",
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "malloc": "default",
    "emulated": False,
    "tries": [
        {"batch": 1, "fits": True, "peak_rss": 5, "driver_seen": None, "why": ""},
        {
            "batch": 2,
            "fits": False,
            "peak_rss": None,
            "driver_seen": None,
            "why": "it took too long",
        },
    ],
    "started": "2026-11-21T13:00:00+00:00",
    "seconds": 1.0,
    "versions": {"torch": "2.13.0"},
    "hardware": json.loads(
        (ROOT / "tests/data/runs/constructed_benchmarks_m4.json").read_text("utf-8")
    )["machine_info"]["hardware"],
}
SAMPLES = dict(samples())


def replaced(document: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return a copy of the document with another value at the path."""
    if not path:
        return value
    copy = list(document) if isinstance(document, list) else dict(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


def renamed(document: Any, path: tuple[Any, ...], name: str) -> Any:
    """Return a copy of the document in which the last key of the path is another one."""
    if len(path) > 1:
        return replaced(document, path[:1], renamed(document[path[0]], path[1:], name))
    return {name if key == path[0] else key: value for key, value in document.items()}


def survives(document: Any, secret: str) -> bool | None:
    """Return whether the secret is in the copy; None where no copy is made."""
    try:
        text = anonymise.strip(json.dumps(document).encode()).text
    except FieldError:
        return None
    whole = json.dumps(json.loads(text), ensure_ascii=False)
    return json.dumps(secret, ensure_ascii=False)[1:-1] in whole or "alice" in whole.lower()


def check_texts(kind: str, of: int) -> None:
    """Put into every text of a file one in ``of`` secrets, in turn in one of six forms."""
    document = SAMPLES[kind]
    texts = [(path, value) for path, value in places(document) if isinstance(value, str)]
    tried: dict[str, int] = {}
    copied = 0
    for at, (path, value) in enumerate(texts):
        for number, secret in enumerate(SECRETS):
            if (at + number) % of:
                continue
            form = (
                secret,
                f"{value} {secret}",
                f"{secret} {value}",
                f"{value} mps={secret}",
                f"{value} ({secret}:8080)",
                f"{value}\n  {secret}",
            )[(at // of + number) % 6]
            found = survives(replaced(document, path, form), secret)
            assert not found, (path, form)
            copied += found is False
            tried[secret] = tried.get(secret, 0) + 1
    assert set(tried) == set(SECRETS)
    assert copied > sum(tried.values()) / 4  # no copy at all would be no proof


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_secret_survives_in_any_text(kind: str) -> None:
    check_texts(kind, 9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLES)
def test_none_of_all_secrets_survives_in_any_text(kind: str) -> None:
    check_texts(kind, 1)


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_secret_survives_in_a_key(kind: str) -> None:
    document = SAMPLES[kind]
    keys = [path for path, _ in places(document) if isinstance(path[-1], str)]
    copied = 0
    for at, path in enumerate(keys):
        secret = SECRETS[at % len(SECRETS)]
        found = survives(renamed(document, path, secret), secret)
        assert not found, path
        copied += found is False
    assert copied > 5


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_text_survives_where_there_was_something_else(kind: str) -> None:
    document = SAMPLES[kind]
    others = [path for path, value in places(document) if not isinstance(value, str)]
    copied = 0
    for path in others:
        for value in ("alice", ["alice"], {"alice": "alice"}):
            found = survives(replaced(document, path, value), "alice")
            assert not found, path
            copied += found is False
    assert copied


PHONE = 4917012345678


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_number_of_many_digits_survives_in_a_count(kind: str) -> None:
    document = SAMPLES[kind]
    counts = [
        (path, value)
        for path, value in places(document)
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    # Sizes and amounts of work are as large: bytes, operations, parameters.
    large = re.compile("bytes|memory|peak|live|driver|flop|swapped|parameters|items_per_call")
    tried = 0
    for path, _ in counts:
        if not large.search(str(path)):
            found = survives(replaced(document, path, PHONE), str(PHONE))
            assert not found, path
            tried += 1
    assert tried or not counts


def test_only_variables_of_allocators_are_keys_of_the_environment() -> None:
    document = SAMPLES["benchmarks"]
    names = {"PYTORCH_MPS_alice": "1", "MALLOC_of_alice": "1", "MallocOfAlice": "1"}
    path = ("metalassay", "conditions", "before", "environment")
    known = {"OMP_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "4", "MallocNanoZone": "0"}
    copy = json.loads(
        anonymise.strip(json.dumps(replaced(document, path, names | known)).encode()).text
    )
    assert copy["metalassay"]["conditions"]["before"]["environment"] == known


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_copy_of_every_file_of_the_repository_loads_and_has_its_figures(path: Path) -> None:
    content = path.read_bytes()
    stripped = anonymise.strip(content)
    unknown = {place for place, kind in stripped.removed if kind == anonymise.UNKNOWN}
    assert unknown <= {"\N{HORIZONTAL ELLIPSIS}"}  # the mark of a file that was made by hand
    before, after = parse(content, ""), parse(stripped.text.encode(), "")
    assert type(before) is type(after)
    if isinstance(before, VersionSet) and isinstance(after, VersionSet):
        assert [(one.id, one.verdict) for one in before.bugs] == [
            (one.id, one.verdict) for one in after.bugs
        ]
        assert before.versions == after.versions
        assert before.requires == after.requires
        assert before.origin == after.origin
        assert before.hardware == after.hardware
        tests = [[test.test for test in one.tests] for one in before.bugs]
        assert tests == [[test.test for test in one.tests] for one in after.bugs]
    elif isinstance(before, SmokeSet) and isinstance(after, SmokeSet):
        # What the known bugs explain is decided by the words of the error.
        told = [before.explanation(stage) for stage in before.stages]
        assert told == [after.explanation(stage) for stage in after.stages]
        assert before.why_not_installable() == after.why_not_installable()
    else:
        assert before == after
    again = anonymise.strip(stripped.text.encode())
    assert again.text == stripped.text
    assert not again.removed


def test_our_own_sentences_are_kept_whole() -> None:
    for path in FILES:
        if path.parent.name == "runs":
            continue
        removed = anonymise.strip(path.read_bytes()).removed
        for place, _ in removed:
            # Titles, advice and reasons of an older revision of the data may have words that are gone.
            assert place.endswith(("evidence", "title", "reason")) or ".fixes[" in place, path


def test_the_schema_has_the_fields_of_the_records() -> None:
    def names(record: Any) -> set[str]:
        return {one.name for one in dataclasses.fields(record)}

    schema: Any = submit_schema
    assert set(schema.HARDWARE) == names(Hardware)
    assert set(schema.ORIGIN) == names(verdict_file.Origin)
    assert set(schema.VERDICTS["selection"]) == names(verdict_file.Selection)
    assert set(schema.BUG_TEST) == names(verdict_file.BugTest)
    assert set(schema.VERDICTS["other_failures"].of) == names(verdict_file.OtherFailure)
    snapshot = schema.BENCHMARKS["metalassay"]["conditions"]["before"]
    assert set(snapshot) == names(Conditions)
    assert set(schema.WORKLOADS) == {name for name, _ in suite.FULL} | set(suite.RLHF)
    assert set(schema.STAGE_NAMES) >= set(child.STAGES)


def test_every_field_that_a_writer_lays_out_is_in_the_schema() -> None:
    common: Any = {
        "command": "",
        "started": datetime(2026, 1, 1, tzinfo=UTC),
        "seconds": 1.0,
        "versions": {},
        "hardware": {},
    }
    verdicts = verdict_file.document({}, **common)
    assert set(verdicts) == set(submit_schema.VERDICTS)  # type: ignore[arg-type]
    smoke = smoke_file.document({}, **common, origin=verdict_file.Origin())
    assert set(smoke) == set(submit_schema.SMOKE)  # type: ignore[arg-type]
    machine = Hardware(*["x"] * 3, *[None] * 10)  # type: ignore[arg-type]
    searched = max_batch_file.document(
        workload="", mode="", device="", dtype="", threads=1, malloc="", emulated=False, tries=(),
        started="", seconds=1.0, versions={}, machine=machine,
    )  # fmt: skip
    assert set(searched) == set(submit_schema.MAX_BATCH)  # type: ignore[arg-type]
