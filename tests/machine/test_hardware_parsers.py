"""The parsers of what the system's tools print, on constructed and on arbitrary output."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from constructed_machines import JSON, UNKNOWN, constructed
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay.machine import hardware
from metalassay.machine.hardware import Gpu, Hardware, Processor


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("mac-mini-m4", Processor("Apple M4", "Mac16,10", 10, 4, 6, 10, 16 * 2**30, False)),
        (
            "mac-mini-m4-pro",
            Processor("Apple M4 Pro", "Mac16,11", 14, 10, 4, 14, 48 * 2**30, False),
        ),
        (
            "hosted-vm-m1",
            Processor("Apple M1 (Virtual)", "VirtualMac2,1", 3, 3, None, 3, 7 * 2**30, True),
        ),
        (
            "macbook-pro-intel",
            Processor(
                chip="Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz",
                model="MacBookPro16,1",
                physical_cores=8,
                logical_cores=16,
                memory_bytes=32 * 2**30,
                virtual=False,
            ),
        ),
    ],
)
def test_sysctl_output_gives_the_processor(machine: str, expected: Processor) -> None:
    assert hardware.parse_sysctl(constructed(f"{machine}-constructed.sysctl.txt")) == expected


@pytest.mark.parametrize(
    ("text", "virtual"),
    [
        ("machdep.cpu.brand_string: Apple M4\n", None),
        ("machdep.cpu.brand_string: Apple M4\nkern.hv_vmm_present: 0\n", False),
        ("machdep.cpu.brand_string: Apple M4\nkern.hv_vmm_present: 1\n", True),
        ("machdep.cpu.brand_string: Apple M1 (Virtual)\n", True),
        ("machdep.cpu.brand_string: Apple M1 (Virtual)\nkern.hv_vmm_present: 0\n", True),
        ("kern.hv_vmm_present: yes\n", None),
    ],
)
def test_either_value_reveals_a_virtual_mac(text: str, virtual: bool | None) -> None:
    assert hardware.parse_sysctl(text).virtual is virtual


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "sysctl: unknown oid", "hw.memsize: lots\nhw.physicalcpu: -4\nhw.logicalcpu: 0"]
    + [f"hw.physicalcpu: {number}" for number in ("4.0", "0x4", "१२", "1" * 5000, "")],
)
def test_unusable_sysctl_output_leaves_everything_unknown(text: str) -> None:
    assert hardware.parse_sysctl(text) == Processor()


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("mac-mini-m4", Gpu("Apple M4", 10)),
        ("mac-mini-m4-pro", Gpu("Apple M4 Pro", 20)),
        ("hosted-vm-m1", Gpu("Apple Paravirtual device", None)),
        ("macbook-pro-intel", Gpu("Intel UHD Graphics 630 + AMD Radeon Pro 5500M", None)),
    ],
)
def test_system_profiler_output_gives_the_gpu(machine: str, expected: Gpu) -> None:
    text = constructed(f"{machine}-constructed.displays.json")
    assert hardware.parse_system_profiler(text) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], Gpu()),
        ([{}], Gpu()),
        ([{"sppci_cores": "10"}], Gpu()),
        ([{"sppci_model": "Apple M4", "sppci_cores": 10}], Gpu("Apple M4", None)),
        ([{"sppci_model": "Apple M4", "sppci_cores": "ten"}], Gpu("Apple M4", None)),
        ([{"sppci_model": 4, "sppci_cores": "10"}], Gpu()),
        # With two GPUs, it is not clear to which one the cores belong.
        ([{"sppci_model": "A", "sppci_cores": "8"}] * 2, Gpu("2 x A", None)),
    ],
)
def test_what_a_display_entry_omits_stays_unknown(entries: list[object], expected: Gpu) -> None:
    text = json.dumps({"SPDisplaysDataType": entries})
    assert hardware.parse_system_profiler(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        constructed("mac-mini-m4-constructed.displays.json")[:-40],
        "null",
        "[]",
        "{}",
        '{"SPDisplaysDataType": null}',
        '{"SPDisplaysDataType": {}}',
        '{"SPDisplaysDataType": ["Apple M4"]}',
        "[" * 100_000,
    ],
)
def test_system_profiler_output_of_another_form_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        hardware.parse_system_profiler(text)


@pytest.mark.parametrize(
    ("machine", "chip", "virtual"),
    [
        ("x86-vm", "AMD EPYC 9654 96-Core Processor", True),
        ("x86-metal", "Intel(R) Xeon(R) Gold 6430", False),
        ("arm64", None, None),
    ],
)
def test_cpuinfo_gives_the_chip_and_the_hypervisor_on_x86_only(
    machine: str, chip: str | None, virtual: bool | None
) -> None:
    text = constructed(f"{machine}-constructed.cpuinfo.txt")
    assert hardware.parse_cpuinfo(text) == Processor(chip=chip, virtual=virtual)


def test_cpuinfo_truncated_in_a_later_processor_gives_the_same_result() -> None:
    text = constructed("x86-vm-constructed.cpuinfo.txt")
    cut = text[: text.rindex("hypervisor")]
    assert hardware.parse_cpuinfo(cut) == hardware.parse_cpuinfo(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NVIDIA H200\n", "NVIDIA H200"),
        ("NVIDIA H200\nNVIDIA H200\nNVIDIA L4\n", "2 x NVIDIA H200 + NVIDIA L4"),
        ("No devices were found\n", None),
        ("", None),
    ],
)
def test_nvidia_smi_gives_names_but_no_cores(text: str, name: str | None) -> None:
    assert hardware.parse_nvidia_smi(text) == Gpu(name, None)


LINES = st.lists(
    st.tuples(
        st.sampled_from([*hardware.SYSCTL[1:], "model name", "flags"]) | st.text(),
        st.sampled_from([": ", ":", " ", "\t: "]),
        st.text() | st.integers().map(str),
    ).map("".join)
).map("\n".join)


def survives_json(part: Processor | Gpu) -> bool:
    record: Hardware
    if isinstance(part, Gpu):
        record = dataclasses.replace(UNKNOWN, gpu=part.name, gpu_cores=part.cores)
    else:
        record = dataclasses.replace(UNKNOWN, **dataclasses.asdict(part))
    return hardware.from_dict(json.loads(json.dumps(hardware.as_dict(record)))) == record


@pytest.mark.parametrize(
    "parse",
    [
        hardware.parse_sysctl,
        hardware.parse_cpuinfo,
        hardware.parse_nvidia_smi,
    ],
)
@settings(deadline=None)
@given(text=st.text() | LINES)
def test_the_line_parsers_never_raise(parse: Callable[[str], Processor | Gpu], text: str) -> None:
    assert survives_json(parse(text))


@settings(deadline=None)
@given(text=st.text() | JSON.map(lambda value: json.dumps({"SPDisplaysDataType": value})))
def test_arbitrary_display_output_raises_only_value_error(text: str) -> None:
    try:
        gpu = hardware.parse_system_profiler(text)
    except ValueError:
        return
    assert survives_json(gpu)
