"""The record of a machine: its fields, its JSON form, and the line that describes it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from constructed_machines import JSON, M4_PRO, UNKNOWN
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay.machine import hardware
from metalassay.machine.hardware import Hardware


def test_the_record_has_the_fields_of_the_file_format_and_nothing_personal() -> None:
    assert list(hardware.as_dict(M4_PRO)) == [
        "system",
        "release",
        "machine",
        "chip",
        "model",
        "physical_cores",
        "performance_cores",
        "efficiency_cores",
        "logical_cores",
        "gpu",
        "gpu_cores",
        "memory_bytes",
        "virtual",
        "translated",
    ]


@pytest.mark.parametrize("record", [M4_PRO, UNKNOWN])
def test_a_record_survives_json_and_unknown_keys_are_ignored(record: Hardware) -> None:
    data = {**hardware.as_dict(record), "colour": "silver"}
    assert hardware.from_dict(json.loads(json.dumps(data))) == record


KEYS = [field.name for field in dataclasses.fields(Hardware)]
ALWAYS_KNOWN = ("system", "release", "machine")


@pytest.mark.parametrize("key", ALWAYS_KNOWN)
def test_a_missing_field_is_named(key: str) -> None:
    data = hardware.as_dict(M4_PRO)
    del data[key]
    with pytest.raises(ValueError, match=f"^hardware.{key} is missing$"):
        hardware.from_dict(data)


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ALWAYS_KNOWN])
def test_a_field_that_may_be_unknown_may_be_missing(key: str) -> None:
    data = hardware.as_dict(M4_PRO)
    del data[key]
    unknown: Any = {key: None}
    assert hardware.from_dict(data) == dataclasses.replace(M4_PRO, **unknown)


WRONG: dict[str, list[object]] = {
    "system": [None, "", 4],
    "release": [None, " ", []],
    "machine": [None, True, {}],
    "chip": ["", 4, True],
    "model": ["", 16.11, []],
    "physical_cores": [0, -1, 4.0, "4", True],
    "performance_cores": [0, 4.5, "4P", False],
    "efficiency_cores": [0, 2**64, [6]],
    "logical_cores": [0, float("nan"), {}],
    "gpu": ["", 10, True],
    "gpu_cores": [0, "10", 10.0, True],
    "memory_bytes": [0, -1, 1e9, "16 GB"],
    "virtual": [0, 1, "no", []],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key in WRONG for value in WRONG[key]])
def test_a_value_of_the_wrong_type_is_refused_with_the_name_of_its_field(
    key: str, value: object
) -> None:
    with pytest.raises(ValueError, match=rf"^hardware\.{key}: expected .*, found "):
        hardware.from_dict({**hardware.as_dict(M4_PRO), key: value})


ALMOST = st.fixed_dictionaries(
    {key: st.just(value) | JSON for key, value in hardware.as_dict(M4_PRO).items()}
)


@settings(deadline=None)
@given(JSON | ALMOST)
def test_any_json_gives_a_record_or_raises_value_error(data: object) -> None:
    try:
        record = hardware.from_dict(data)
    except ValueError:
        return
    assert hardware.from_dict(hardware.as_dict(record)) == record


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (M4_PRO, "Apple M4 Pro (10P+4E CPU, 20-core GPU, 48 GB), macOS 15.1"),
        (
            dataclasses.replace(
                UNKNOWN,
                chip="Apple M1 (Virtual)",
                physical_cores=3,
                performance_cores=3,
                gpu="Apple Paravirtual device",
                memory_bytes=7 * 2**30,
                virtual=True,
            ),
            "Apple M1 (Virtual) (3 cores, Apple Paravirtual device, 7 GB, virtual machine), "
            "macOS 15.1",
        ),
        (
            dataclasses.replace(
                UNKNOWN,
                system="Linux",
                release="6.18.44",
                machine="x86_64",
                chip="AMD EPYC",
                physical_cores=2,
                memory_bytes=25_276_502_016,
                virtual=True,
            ),
            "AMD EPYC (2 cores, 24 GB, virtual machine), Linux x86_64",
        ),
        (
            dataclasses.replace(
                UNKNOWN, system="Linux", machine="aarch64", physical_cores=1, gpu="NVIDIA GB10"
            ),
            "unknown chip (1 core, NVIDIA GB10), Linux aarch64",
        ),
        (dataclasses.replace(UNKNOWN, gpu_cores=8), "unknown chip (8-core GPU), macOS 15.1"),
        (UNKNOWN, "unknown chip, macOS 15.1"),
    ],
)
def test_the_description_contains_only_what_is_known(record: Hardware, line: str) -> None:
    assert hardware.describe(record) == line
