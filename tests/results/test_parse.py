"""One result file: every value is checked, and whatever it holds raises nothing but FieldError."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay.fields import FieldError
from metalassay.results.parse import VersionSet, parse

DATA = Path(__file__).parents[1] / "data" / "runs"
COMPAT = json.loads((DATA / "constructed_compat_patched.json").read_text("utf-8"))
BENCHMARKS = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))


def changed(document: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """Return a copy with the value at ``place``, as in ``bugs.0.verdict``, replaced."""
    result = copy.deepcopy(document)
    *path, last = [int(key) if key.isdecimal() else key for key in place.split(".")]
    at: Any = result
    for key in path:
        at = at[key]
    at[last] = value
    return result


def without(document: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a copy without the member at ``place``."""
    result = changed(document, place, None)
    *path, last = [int(key) if key.isdecimal() else key for key in place.split(".")]
    at: Any = result
    for key in path:
        at = at[key]
    del at[last]
    return result


def warning_of(document: object) -> str:
    with pytest.raises(FieldError) as caught:
        parse(json.dumps(document).encode(), "x.json")
    return str(caught.value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"1" * 100_000, b'{"a":' * 100_000])
def test_nesting_and_digits_without_end_are_refused(content: bytes) -> None:
    with pytest.raises(FieldError):
        parse(content, "x.json")


@pytest.mark.parametrize(
    ("place", "value", "warning"),
    [
        ("bugs.0.verdict", "great", "bugs[0].verdict: expected one of 'fine', "),
        ("bugs.0.tests.0.outcome", "skip", "bugs[0].tests[0].outcome: expected one of 'passed', "),
        ("bugs.0.tests.0.upstream", "fork", "expected one of 'stock', 'patched', found 'fork'"),
        (
            "bugs.0.tests.0.affected",
            1,
            "bugs[0].tests[0].affected: expected true or false, found 1",
        ),
        ("bugs.0.tests.0.seconds", -1, "expected a number from 0 to 1e+09, found -1"),
        ("bugs.0.id", "accelerate-mps-oom", "bugs: two entries have the same id"),
        ("bugs.0.fixes", "none", "bugs[0].fixes: expected a list, found 'none'"),
        ("bugs.0.title", "\n ", "bugs[0].title: expected text that is not empty, found "),
        ("seconds", float("nan"), "seconds: expected a number from 0 to 1e+09, found nan"),
        ("versions", ["3.11"], "versions: expected an object, found a list"),
        ("versions", {"torch": 2}, "versions.torch: expected text, found 2"),
        (
            "started",
            "yesterday",
            "started: expected a time, as in 2026-11-21T13:00:00+00:00, found",
        ),
        ("started", "0001-01-01T00:00:00+23:00", "started: expected a time"),
        ("hardware.gpu_cores", "ten", "gpu_cores: expected a whole number, found 'ten'"),
        ("hardware", None, "expected an object, found null"),
        ("not_installable", "no wheel", "bugs: not empty, although not_installable says"),
    ],
)
def test_a_verdict_file_with_a_wrong_value_is_refused(
    place: str, value: object, warning: str
) -> None:
    assert warning in warning_of(changed(COMPAT, place, value))


@pytest.mark.parametrize(
    ("place", "value", "warning"),
    [
        (
            "stats.data.0",
            1e308,
            "stats.data[0]: expected a number from 1e-07 to 86400, found 1e+308",
        ),
        ("stats.data.0", float("nan"), "stats.data[0]: expected a number"),
        ("stats.data.0", float("inf"), "stats.data[0]: expected a number"),
        ("stats.data.0", -0.1, "stats.data[0]: expected a number"),
        ("stats.data.0", 0, "stats.data[0]: expected a number"),
        ("stats.data.0", 10**400, "stats.data[0]: expected a number"),
        ("stats.data.0", "0.1", "stats.data[0]: expected a number, found '0.1'"),
        ("stats.data.0", True, "stats.data[0]: expected a number, found true"),
        ("stats.data", [], "stats.data: expected at least one round, found a list"),
        ("stats.median", 0.1, "stats: the median is not that of the rounds"),
        (
            "extra_info.batch_size",
            0,
            "extra_info.batch_size: expected a whole number of at least 1",
        ),
        ("extra_info.batch_size", 1.5, "extra_info.batch_size: expected a whole number, found 1.5"),
        ("extra_info.flop_per_call", 10**30, "extra_info.flop_per_call: expected a whole number"),
        ("extra_info.dtype", "int8", "extra_info.dtype: expected one of 'float32', "),
        ("extra_info.device", "tpu", "extra_info.device: expected one of 'cpu', 'mps', 'cuda'"),
        ("extra_info.parity", 3, "extra_info.parity: expected text, found 3"),
        ("extra_info.emulated", None, "extra_info.emulated: expected true or false, found null"),
    ],
)
def test_a_benchmark_run_with_a_wrong_value_is_refused(
    place: str, value: object, warning: str
) -> None:
    text = warning_of(changed(BENCHMARKS, f"benchmarks.0.{place}", value))
    assert f"benchmarks[0].{warning}" in text


def test_a_run_without_raw_times_is_told_how_to_save_them() -> None:
    assert warning_of(without(BENCHMARKS, "benchmarks.0.stats.data")) == (
        "benchmarks[0].stats: no times of the rounds (record them with --benchmark-save-data)"
    )


def test_mps_on_a_machine_that_is_no_mac_is_refused_unless_it_was_emulated() -> None:
    linux = changed(BENCHMARKS, "machine_info.hardware.system", "Linux")
    assert warning_of(linux) == "benchmarks[0]: device mps, but the machine runs Linux"
    for index in range(3):
        linux = changed(linux, f"benchmarks.{index}.extra_info.emulated", True)
    parsed = parse(json.dumps(linux).encode(), "x.json")
    assert isinstance(parsed, tuple)
    assert all(one.emulated for one in parsed)


READ = [
    *[(COMPAT, f"set.{key}") for key in ("id", "requires", "reason")],
    *[(COMPAT, key) for key in ("set", "command", "started", "seconds", "versions", "hardware")],
    *[(COMPAT, key) for key in ("not_installable", "bugs")],
    *[(COMPAT, f"bugs.0.{key}") for key in COMPAT["bugs"][0] if key != "affected"],
    *[(COMPAT, f"bugs.0.tests.0.{key}") for key in COMPAT["bugs"][0]["tests"][0]],
    *[(COMPAT, f"hardware.{key}") for key in ("system", "release", "machine")],
    *[(BENCHMARKS, key) for key in ("machine_info", "versions", "datetime", "versions.torch")],
    (BENCHMARKS, "machine_info.hardware"),
    *[(BENCHMARKS, f"benchmarks.0.{key}") for key in ("name", "extra_info", "stats")],
    *[
        (BENCHMARKS, f"benchmarks.0.extra_info.{key}")
        for key in BENCHMARKS["benchmarks"][0]["extra_info"]
    ],
    (BENCHMARKS, "benchmarks.0.stats.median"),
]


@pytest.mark.parametrize(("document", "place"), READ, ids=[place for _, place in READ])
def test_every_field_is_needed_and_named_when_it_is_missing(
    document: dict[str, Any], place: str
) -> None:
    warning = warning_of(without(document, place))
    assert warning.endswith(f"{place.rpartition('.')[2]} is missing")


def test_a_word_that_its_own_tests_deny_makes_the_set_distrusted() -> None:
    denied = parse(json.dumps(changed(COMPAT, "bugs.0.verdict", "fine")).encode(), "x.json")
    assert isinstance(denied, VersionSet)
    assert denied.distrusted == (
        'the verdict on accelerate-empty-shard is "fine", but its tests lead to "patched"'
    )


def test_versions_that_are_not_those_asked_for_make_the_set_distrusted() -> None:
    other = parse(json.dumps(changed(COMPAT, "versions.accelerate", "1.9.0")).encode(), "x.json")
    assert isinstance(other, VersionSet)
    assert other.distrusted == "it asks for accelerate==1.8.0, but accelerate 1.9.0 was installed"


@pytest.mark.parametrize(
    "requires", ["torch==2.13.0", "torch", "./a/path", "trl==0.1", "torch>=2.13.dev0"]
)
def test_a_local_version_a_bare_name_and_a_path_are_as_asked_for(requires: str) -> None:
    parsed = parse(json.dumps(changed(COMPAT, "set.requires", [requires])).encode(), "x.json")
    assert isinstance(parsed, VersionSet)
    assert parsed.distrusted is None


def test_a_key_in_a_warning_is_as_printable_as_any_text() -> None:
    odd = changed(COMPAT, "versions", {"\x1b[31mtor\ud800ch": 2})
    assert warning_of(odd) == "versions.tor\ufffdch: expected text, found 2"


def test_a_nightly_build_is_as_asked_for() -> None:
    nightly = changed(COMPAT, "versions.torch", "2.14.0.dev20261120")
    nightly = changed(nightly, "set.requires", ["torch>=2.13"])
    parsed = parse(json.dumps(nightly).encode(), "x.json")
    assert isinstance(parsed, VersionSet)
    assert parsed.distrusted is None


def test_colours_and_marks_that_reorder_text_are_taken_out() -> None:
    dirty = changed(
        COMPAT, "bugs.0.tests.0.evidence", "\x1b[31mE  x\x1b[0m\r\n\a\u202etxt.exe\ud800"
    )
    parsed = parse(json.dumps(dirty).encode(), "x.json")
    assert isinstance(parsed, VersionSet)
    assert parsed.bugs[0].tests[0].evidence == "E  x\n\ufffd\ufffdtxt.exe\ufffd"


def loads_without_raising(content: bytes) -> None:
    with contextlib.suppress(FieldError):  # the one error that `load` turns into a warning
        parse(content, "x.json")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise(content: bytes) -> None:
    loads_without_raising(content)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(
        [10**400, 1e308, "", "\ud800", "0001-01-01T00:00:00+23:59", "<script>", "a\0b"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places(value: object, at: str = "") -> list[str]:
    """Return every place in a document."""
    members = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = []
    for key, member in members:
        here = f"{at}.{key}" if at else str(key)
        found += [here, *places(member, here)]
    return found


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_no_valid_file_with_one_value_replaced_raises(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([COMPAT, BENCHMARKS]))
    place = data.draw(st.sampled_from(places(document)))
    loads_without_raising(json.dumps(changed(document, place, data.draw(JSON))).encode())


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_valid_file_with_bytes_replaced_raises(data: st.DataObject) -> None:
    content = json.dumps(data.draw(st.sampled_from([COMPAT, BENCHMARKS]))).encode()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 50)))
    loads_without_raising(content[:start] + data.draw(st.binary(max_size=20)) + content[end:])


def test_results_of_upstreams_own_tests_are_ours_and_no_table() -> None:
    assert parse(b'{"schema": "metalassay.upstream/1"}', "x.json") == ()
