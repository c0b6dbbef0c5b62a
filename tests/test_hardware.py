"""Which machine this is: parsers on constructed outputs, the record, and the probe itself."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay import hardware, hardware_text
from metalassay.hardware import Hardware
from metalassay.hardware_text import Gpu, Processor

CONSTRUCTED = Path(__file__).parent / "data" / "constructed"

M4_PRO = Hardware(
    system="Darwin",
    release="macOS 15.1",
    machine="arm64",
    chip="Apple M4 Pro",
    model="Mac16,11",
    physical_cores=14,
    performance_cores=10,
    efficiency_cores=4,
    logical_cores=14,
    gpu="Apple M4 Pro",
    gpu_cores=20,
    memory_bytes=48 * 2**30,
    virtual=False,
)
NOTHING = Hardware("Darwin", "macOS 15.1", "arm64", *[None] * 10)


def constructed(name: str) -> str:
    return (CONSTRUCTED / name).read_text(encoding="utf-8")


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
def test_sysctl_tells_the_processor(machine: str, expected: Processor) -> None:
    assert hardware_text.parse_sysctl(constructed(f"{machine}-constructed.sysctl.txt")) == expected


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
def test_a_virtual_mac_is_known_by_either_sign(text: str, virtual: bool | None) -> None:
    assert hardware_text.parse_sysctl(text).virtual is virtual


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "sysctl: unknown oid", "hw.memsize: lots\nhw.physicalcpu: -4\nhw.logicalcpu: 0"]
    + [f"hw.physicalcpu: {number}" for number in ("4.0", "0x4", "१२", "1" * 5000, "")],
)
def test_sysctl_output_that_says_nothing_leaves_everything_unknown(text: str) -> None:
    assert hardware_text.parse_sysctl(text) == Processor()


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("mac-mini-m4", Gpu("Apple M4", 10)),
        ("mac-mini-m4-pro", Gpu("Apple M4 Pro", 20)),
        ("hosted-vm-m1", Gpu("Apple Paravirtual device", None)),
        ("macbook-pro-intel", Gpu("Intel UHD Graphics 630 + AMD Radeon Pro 5500M", None)),
    ],
)
def test_system_profiler_tells_the_gpu(machine: str, expected: Gpu) -> None:
    text = constructed(f"{machine}-constructed.displays.json")
    assert hardware_text.parse_system_profiler(text) == expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], Gpu()),
        ([{}], Gpu()),
        ([{"sppci_cores": "10"}], Gpu()),
        ([{"sppci_model": "Apple M4", "sppci_cores": 10}], Gpu("Apple M4", None)),
        ([{"sppci_model": "Apple M4", "sppci_cores": "ten"}], Gpu("Apple M4", None)),
        ([{"sppci_model": 4, "sppci_cores": "10"}], Gpu()),
        # Two GPUs with cores: whose would they be?
        ([{"sppci_model": "A", "sppci_cores": "8"}] * 2, Gpu("2 x A", None)),
    ],
)
def test_what_a_display_entry_does_not_say_stays_unknown(
    entries: list[object], expected: Gpu
) -> None:
    text = json.dumps({"SPDisplaysDataType": entries})
    assert hardware_text.parse_system_profiler(text) == expected


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
def test_system_profiler_output_of_another_form_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        hardware_text.parse_system_profiler(text)


@pytest.mark.parametrize(
    ("machine", "chip", "virtual"),
    [
        ("x86-vm", "AMD EPYC 9654 96-Core Processor", True),
        ("x86-metal", "Intel(R) Xeon(R) Gold 6430", False),
        ("arm64", None, None),
    ],
)
def test_cpuinfo_tells_the_chip_and_a_hypervisor_on_x86_only(
    machine: str, chip: str | None, virtual: bool | None
) -> None:
    text = constructed(f"{machine}-constructed.cpuinfo.txt")
    assert hardware_text.parse_cpuinfo(text) == Processor(chip=chip, virtual=virtual)


def test_cpuinfo_cut_off_within_a_later_processor_changes_nothing() -> None:
    text = constructed("x86-vm-constructed.cpuinfo.txt")
    cut = text[: text.rindex("hypervisor")]
    assert hardware_text.parse_cpuinfo(cut) == hardware_text.parse_cpuinfo(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NVIDIA H200\n", "NVIDIA H200"),
        ("NVIDIA H200\nNVIDIA H200\nNVIDIA L4\n", "2 x NVIDIA H200 + NVIDIA L4"),
        ("No devices were found\n", None),
        ("", None),
    ],
)
def test_nvidia_smi_tells_names_and_no_cores(text: str, name: str | None) -> None:
    assert hardware_text.parse_nvidia_smi(text) == Gpu(name, None)


LINES = st.lists(
    st.tuples(
        st.sampled_from([*hardware.SYSCTL[1:], "model name", "flags"]) | st.text(),
        st.sampled_from([": ", ":", " ", "\t: "]),
        st.text() | st.integers().map(str),
    ).map("".join)
).map("\n".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sppci_model", "sppci_cores", "_name"]), inner)
    ),
    max_leaves=8,
)


def survives_json(found: Processor | Gpu) -> bool:
    if isinstance(found, Gpu):
        record = dataclasses.replace(NOTHING, gpu=found.name, gpu_cores=found.cores)
    else:
        record = dataclasses.replace(NOTHING, **dataclasses.asdict(found))
    return hardware.from_dict(json.loads(json.dumps(hardware.as_dict(record)))) == record


@pytest.mark.parametrize(
    "parse",
    [hardware_text.parse_sysctl, hardware_text.parse_cpuinfo, hardware_text.parse_nvidia_smi],
)
@settings(deadline=None)
@given(text=st.text() | LINES)
def test_no_line_output_makes_a_parser_raise(
    parse: Callable[[str], Processor | Gpu], text: str
) -> None:
    assert survives_json(parse(text))


@settings(deadline=None)
@given(text=st.text() | JSON.map(lambda value: json.dumps({"SPDisplaysDataType": value})))
def test_no_display_output_raises_anything_but_value_error(text: str) -> None:
    try:
        found = hardware_text.parse_system_profiler(text)
    except ValueError:
        return
    assert survives_json(found)


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
    ]


@pytest.mark.parametrize("record", [M4_PRO, NOTHING])
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
def test_what_may_be_unknown_may_be_missing(key: str) -> None:
    data = hardware.as_dict(M4_PRO)
    del data[key]
    assert hardware.from_dict(data) == dataclasses.replace(M4_PRO, **{key: None})  # type: ignore[arg-type]


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
def test_a_field_of_another_type_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^hardware\.{key}: expected .*, found "):
        hardware.from_dict({**hardware.as_dict(M4_PRO), key: value})


ALMOST = st.fixed_dictionaries(
    {key: st.just(value) | JSON for key, value in hardware.as_dict(M4_PRO).items()}
)


@settings(deadline=None)
@given(JSON | ALMOST)
def test_any_json_is_a_record_or_a_value_error(data: object) -> None:
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
                NOTHING,
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
                NOTHING,
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
                NOTHING, system="Linux", machine="aarch64", physical_cores=1, gpu="NVIDIA GB10"
            ),
            "unknown chip (1 core, NVIDIA GB10), Linux aarch64",
        ),
        (dataclasses.replace(NOTHING, gpu_cores=8), "unknown chip (8-core GPU), macOS 15.1"),
        (NOTHING, "unknown chip, macOS 15.1"),
    ],
)
def test_one_line_says_what_is_known_and_no_more(record: Hardware, line: str) -> None:
    assert hardware.describe(record) == line


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def on_a_mac(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Run], Hardware]]:
    """Return a function that probes as if on a Mac, with ``run`` in place of subprocess.run."""

    def probe(run: Run) -> Hardware:
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        monkeypatch.setattr(platform, "machine", lambda: "arm64")
        monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
        monkeypatch.setattr(shutil, "which", lambda name: name)
        monkeypatch.setattr(subprocess, "run", run)
        hardware.probe.cache_clear()
        return hardware.probe()

    yield probe
    hardware.probe.cache_clear()


def prints(machine: str) -> Run:
    """Return a stand-in for subprocess.run on ``machine``; sysctl fails as on a Mac without E cores."""

    def run(
        command: Sequence[str], *, check: bool, **_: object
    ) -> subprocess.CompletedProcess[str]:
        sysctl = command[0] == "/usr/sbin/sysctl"
        assert sysctl or command[0] == "/usr/sbin/system_profiler"
        assert check is not sysctl
        suffix = "sysctl.txt" if sysctl else "displays.json"
        text = constructed(f"{machine}-constructed.{suffix}")
        return subprocess.CompletedProcess(command, 1 if sysctl else 0, text)

    return run


def test_a_mac_is_put_together_from_both_commands(
    on_a_mac: Callable[[Run], Hardware],
) -> None:
    assert on_a_mac(prints("mac-mini-m4-pro")) == M4_PRO


def test_serial_numbers_go_nowhere(on_a_mac: Callable[[Run], Hardware]) -> None:
    record = json.dumps(hardware.as_dict(on_a_mac(prints("mac-mini-m4"))))
    assert '"gpu": "Apple M4"' in record
    assert "SERIAL" not in record
    assert "5e71a100" not in record


def raises(error: Exception) -> Run:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise error

    return run


@pytest.mark.parametrize(
    "run",
    [
        raises(FileNotFoundError("sysctl")),
        raises(PermissionError("sysctl")),
        raises(subprocess.TimeoutExpired("sysctl", 5)),
        raises(subprocess.CalledProcessError(1, "sysctl")),
        lambda command, **_: subprocess.CompletedProcess(command, 0, ""),
        lambda command, **_: subprocess.CompletedProcess(command, 0, "\ufffd garbage: [{"),
    ],
)
def test_commands_that_fail_leave_the_mac_unknown(
    on_a_mac: Callable[[Run], Hardware], run: Run
) -> None:
    assert on_a_mac(run) == NOTHING


def test_a_missing_program_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    hardware.probe.cache_clear()
    try:
        assert hardware.probe().gpu is None
    finally:
        hardware.probe.cache_clear()


def test_this_machine_is_probed_once_and_its_record_survives_json() -> None:
    record = hardware.probe()
    assert record is hardware.probe()
    assert record.system == platform.system()
    assert record.machine == platform.machine()
    assert record.logical_cores
    assert record.memory_bytes
    assert record.memory_bytes > 2**26
    assert hardware.from_dict(json.loads(json.dumps(hardware.as_dict(record)))) == record
    assert record.chip is None or hardware.describe(record).startswith(record.chip)
