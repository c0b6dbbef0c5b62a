"""What each field of a result file may contain in the copy that `metalassay submit` makes.

One table per format. A field that is not here is not copied: a writer that gets a new field adds it here, which
a test demands. ``Text(kind, instead)`` is a text of that kind (``allowed``); where it is not, ``instead`` takes its
place: a placeholder, None for null, ``DROP`` to leave the field out, or ``REFUSE`` where the results would
be others without it. Null is allowed everywhere; what must not be null, the readers of the formats refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from metalassay.bugs import REPORTED_ONLY, verdict
from metalassay.claims import evidence, experiments
from metalassay.machine import dtypes, macos
from metalassay.machine.conditions import ALLOCATORS, THREADS
from metalassay.results import allowed, max_batch_file, smoke_file, verdict_file
from metalassay.results.allowed import Kind, form, one_of

REMOVED = "[removed]"
"""A placeholder; in the copy it has a number, the same for equal texts."""


class Instead(Enum):
    """What happens to a text that is not allowed, if no other takes its place."""

    DROP = "leave it out"
    REFUSE = "make no copy"


DROP, REFUSE = Instead.DROP, Instead.REFUSE


@dataclass(frozen=True)
class Text:
    """A text of one kind."""

    kind: Kind
    instead: str | Instead | None = REMOVED


@dataclass(frozen=True)
class Prose:
    """Free text: of it, the words that are metalassay's own. ``traceback``: also frames in public packages."""

    traceback: bool = False


@dataclass(frozen=True)
class Number:
    """A finite number; ``most``: of a count, the largest that can be one."""

    most: float = 10.0**30


@dataclass(frozen=True)
class Flag:
    """True or false."""


@dataclass(frozen=True)
class Each:
    """A list of such elements; those that are not allowed are left out, or replaced if ``instead`` says so."""

    of: Schema


@dataclass(frozen=True)
class Keys:
    """An object whose keys have a kind, not a fixed list. ``renamed``: a key of another kind gets a number."""

    kind: Kind
    of: Schema
    renamed: bool = False


@dataclass(frozen=True)
class OneOf:
    """A text or a list of them: the first that fits the type of the value."""

    options: tuple[Schema, ...]


Schema = Text | Prose | Number | Flag | Each | Keys | OneOf | Mapping[str, Any]

NUMBER, FLAG, PROSE = Number(), Flag(), Prose()
COUNT = Number(10**6)
"""A number without a limit could be a telephone number, or the serial number of a device."""
SHARE = Number(10**5)
BYTES = Number(2**50)
TIME = Number(10**9)  # of seconds, and operations in one
MOMENT = Text(allowed.moment, REFUSE)
VERSION = Text(allowed.version, DROP)
VERSIONS = Keys(allowed.package, Text(allowed.installed_version, REFUSE))
SYSTEM = Text(one_of("Linux", "Darwin", "Windows", "FreeBSD", "unknown"), "unknown")
MACHINE = Text(
    form(
        r"x86_64|X86_64|AMD64|i[3-6]86|arm64|ARM64|aarch64|armv\d\w?|ARM_8|riscv64|ppc64le|s390x|unknown|"
    ),
    "unknown",
)
RELEASE = Text(allowed.release, "unknown")
CHIP = Text(allowed.chip, None)
# With a letter: twelve digits may be a telephone number, and one hash in 280 has no letter.
HASH = Text(form(r"(?=.*[a-f])(?:[0-9a-f]{12}|[0-9a-f]{16})"), None)
COMMIT = Text(form(r"(?=.*[a-f])(?:[0-9a-f]{7,12}|[0-9a-f]{40})\+?|unversioned|unknown"), None)
DEVICE = Text(one_of("cpu", "mps", "cuda"), REFUSE)
MODE = Text(one_of("train", "infer"), REFUSE)
DTYPE = Text(one_of(*dtypes.NAMES), REFUSE)
MALLOC = Text(one_of("default", "tuned"), REFUSE)
WORKLOADS = (
    *("transit-cnn", "gpt-tiny", "gpt-small", "gpt-original"),
    *("rlhf-sft", "rlhf-reward", "rlhf-dpo", "rlhf-ppo", "rlhf-grpo"),
)
"""A test holds that these are the workloads of the suite."""
WORKLOAD = Text(one_of(*WORKLOADS), REFUSE)
_LABEL = rf"(?:{'|'.join(WORKLOADS)})-b\d{{1,6}}-(?:train|infer)-(?:{'|'.join(dtypes.NAMES)})"

HARDWARE: Schema = {
    "system": SYSTEM,
    "release": RELEASE,
    "machine": MACHINE,
    "chip": CHIP,
    "model": Text(
        form(
            r"(?:Mac|MacBook|MacBookPro|MacBookAir|Macmini|MacPro|iMac|iMacPro|VirtualMac|VMM?)\d{1,2},\d{1,2}"
        ),
        None,
    ),
    "physical_cores": COUNT,
    "performance_cores": COUNT,
    "efficiency_cores": COUNT,
    "logical_cores": COUNT,
    "gpu": CHIP,
    "gpu_cores": COUNT,
    "memory_bytes": BYTES,
    "virtual": FLAG,
    "translated": FLAG,
}

SET: Schema = {
    "id": Text(allowed.row),
    "python": OneOf((Text(form(r"3\.\d{1,2}"), None), Each(Text(form(r"3\.\d{1,2}"), DROP)))),
    "requires": Each(Text(allowed.requirement, DROP)),
    "reason": PROSE,
    "tags": Each(Text(allowed.label, DROP)),
    "runs": Text(one_of("compat", "smoke"), DROP),
}

ORIGIN: Schema = {
    "commit": COMMIT,
    "data": HASH,
    "interpreter": Text(form(r"(?:CPython|PyPy) 3\.\d{1,2}\.\d{1,2}(?:(?:a|b|rc)\d)?\+?"), None),
    "lock": Each(Text(allowed.requirement, DROP)),
    "key": HASH,
}

SECONDS_AND_MACHINE: Mapping[str, Any] = {
    "command": Text(allowed.command, ""),
    "started": MOMENT,
    "seconds": TIME,
    "versions": VERSIONS,
    "hardware": HARDWARE,
    "not_installable": PROSE,
    "origin": ORIGIN,
}

BUG_TEST: Schema = {
    "test": Text(allowed.test_id),
    "symptom": Text(allowed.bug_id),
    "upstream": Text(one_of("stock", "patched"), REFUSE),
    "affected": FLAG,
    "outcome": Text(one_of(*verdict_file.OUTCOMES), REFUSE),
    "seconds": TIME,
    "evidence": Prose(traceback=True),
}

VERDICTS: Schema = {
    "schema": Text(one_of(verdict_file.SCHEMA), REFUSE),
    "set": SET,
    **SECONDS_AND_MACHINE,
    "selection": {
        "arguments": Each(Text(allowed.argument)),
        "deselected": COUNT,
        "partial": PROSE,
    },
    "bugs": Each(
        {
            "id": Text(allowed.bug_id),
            "title": PROSE,
            "link": Text(allowed.link, ""),
            "where": PROSE,
            "affected": FLAG,
            "provenance": Text(one_of("run by us", REPORTED_ONLY), DROP),
            "verdict": Text(one_of(*verdict.MEANING), REFUSE),
            "why": PROSE,
            "fixes": Each(PROSE),
            "tests": Each(BUG_TEST),
        }
    ),
    "other_failures": Each(
        {
            "test": Text(allowed.test_id),
            "outcome": Text(one_of(*verdict_file.FAILURES), REFUSE),
            "evidence": Prose(traceback=True),
        }
    ),
}

STAGE_NAMES = (
    *(f"import {name}" for name in ("accelerate", "transformers", "datasets", "peft", "trl")),
    *("Accelerator", "Trainer", "Trainer resume", "LoRA", "SFTTrainer", "SFTTrainer resume"),
    *("DPOTrainer", "GRPOTrainer"),
)
"""A test holds that these are the stages of the smoke test."""

SMOKE: Schema = {
    "schema": Text(one_of(smoke_file.SCHEMA), REFUSE),
    "set": SET,
    **SECONDS_AND_MACHINE,
    "stages": Keys(
        one_of(*STAGE_NAMES),
        {
            "status": Text(one_of(*smoke_file.STATUS), REFUSE),
            "error": PROSE,
            "frames": Each(Text(allowed.frame, DROP)),
        },
        renamed=True,
    ),
}

MAX_BATCH: Schema = {
    "schema": Text(one_of(max_batch_file.SCHEMA), REFUSE),
    "workload": WORKLOAD,
    "mode": MODE,
    "device": DEVICE,
    "dtype": DTYPE,
    "threads": COUNT,
    "malloc": MALLOC,
    "emulated": FLAG,
    "tries": Each(
        {"batch": COUNT, "fits": FLAG, "peak_rss": BYTES, "driver_seen": BYTES, "why": PROSE}
    ),
    "started": MOMENT,
    "seconds": TIME,
    "versions": VERSIONS,
    "hardware": HARDWARE,
}

EXPERIMENT: Schema = {
    "schema": Text(one_of(evidence.SCHEMA), REFUSE),
    "experiment": Text(one_of(*(one.name for one in experiments.load())), REFUSE),
    "device": Text(one_of("cpu", "mps", "system"), REFUSE),
    "emulated": FLAG,
    "threads": COUNT,
    "outcome": Text(one_of("", *evidence.OUTCOMES), REFUSE),
    "comparisons": Each(
        {
            # By them a claim is decided, so another text is no copy.
            **dict.fromkeys(("base", "arm", "what"), Text(one_of(*experiments.NAMES), REFUSE)),
            **dict.fromkeys(("of_base", "of_control", "of_arm"), Each(NUMBER)),
        }
    ),
    "started": MOMENT,
    "seconds": TIME,
    "versions": VERSIONS,
    "hardware": HARDWARE,
    "marks": Each(PROSE),
}

VARIABLES = (
    *THREADS,
    *(name for name in ALLOCATORS if not name.endswith("_") and name != "Malloc"),
    *(
        f"MALLOC_{name}"
        for name in ("ARENA_MAX", "ARENA_TEST", "MMAP_MAX_", "MMAP_THRESHOLD_", "PERTURB_")
    ),
    *(f"MALLOC_{name}" for name in ("TOP_PAD_", "TRIM_THRESHOLD_", "CHECK_", "CONF")),
    *(
        f"Malloc{name}"
        for name in ("NanoZone", "StackLogging", "Scribble", "PreScribble", "GuardEdges")
    ),
    *(
        f"Malloc{name}"
        for name in ("CheckHeapStart", "CheckHeapEach", "LargeCache", "SpaceEfficient")
    ),
)
"""The variables that allocators know; what begins like one could name anything."""

_SNAPSHOT: Schema = {
    **dict.fromkeys(("load", "cores", "battery", "speed_limit", "temperature", "niceness"), SHARE),
    **dict.fromkeys(("available_bytes", "swapped"), BYTES),
    **dict.fromkeys(("stolen", "own", "busy"), TIME),
    "background": FLAG,
    "power_mode": Text(
        one_of(
            *(
                *macos.POWER_MODES,
                "normal",
                "low power",
                "performance",
                "powersave",
                "ondemand",
                "conservative",
            ),
            *("schedutil", "userspace"),
        ),
        None,
    ),
    "pressure": Text(one_of("normal", "warning", "critical"), None),
    "thermal_pressure": Text(one_of(*macos.THERMAL_PRESSURE), None),
    "environment": Keys(one_of(*VARIABLES), Text(allowed.setting)),
}

_PEAK: Schema = {
    "device": DEVICE,
    **dict.fromkeys(("threads", "gflop_s", "gb_s", "seconds"), TIME),
}

_GHZ = Text(form(r"\d{1,2}\.\d{1,4} [GM]Hz"), DROP)
_CPU: Schema = {
    "python_version": Text(
        form(r"3\.\d{1,2}\.\d{1,2}\.(?:alpha|beta|candidate|final)\.\d (?:\(64 bit\))"), DROP
    ),
    "cpuinfo_version": Each(Number(100)),
    "cpuinfo_version_string": VERSION,
    "arch": Text(MACHINE.kind, DROP),
    "arch_string_raw": Text(MACHINE.kind, DROP),
    "vendor_id_raw": Text(one_of("GenuineIntel", "AuthenticAMD", "Apple", "ARM"), DROP),
    "brand_raw": Text(allowed.chip, DROP),
    "hz_advertised_friendly": _GHZ,
    "hz_actual_friendly": _GHZ,
    "flags": Each(Text(allowed.cpu_flag, DROP)),
    "hz_advertised": Each(Number(10**11)),
    "hz_actual": Each(Number(10**11)),
    **dict.fromkeys(
        (
            *("bits", "count", "stepping", "model", "family", "l3_cache_size", "l2_cache_size"),
            *(
                "l1_data_cache_size",
                "l1_instruction_cache_size",
                "l2_cache_line_size",
                "l2_cache_associativity",
            ),
        ),
        Number(2**31),
    ),
}

BENCHMARKS: Schema = {
    "machine_info": {
        "processor": Text(one_of("", "x86_64", "arm", "arm64", "i386", "aarch64"), DROP),
        "machine": MACHINE,
        "python_compiler": Text(
            form(r"(?:GCC|Clang) \d{1,2}\.\d{1,2}\.\d{1,2}(?: \(clang-\d{4}(?:\.\d{1,3}){2,4}\))?"),
            DROP,
        ),
        "python_implementation": Text(one_of("CPython", "PyPy"), DROP),
        "python_implementation_version": VERSION,
        "python_version": VERSION,
        "python_build": Each(
            Text(
                form(
                    r"main|default|(?:tags/)?v3\.\d{1,2}\.\d{1,2}:[0-9a-f]{7,12}|[A-Z][a-z]{2} [ \d]\d 20\d\d \d\d:\d\d:\d\d"
                ),
                DROP,
            )
        ),
        "release": RELEASE,
        "system": SYSTEM,
        "cpu": _CPU,
        "hardware": HARDWARE,
    },
    "commit_info": {
        "id": COMMIT,
        "time": Text(MOMENT.kind, None),
        "author_time": Text(MOMENT.kind, None),
        "dirty": FLAG,
    },
    "benchmarks": Each(
        {
            "group": Text(one_of(), None),
            "name": Text(allowed.benchmark_id),
            "fullname": Text(allowed.benchmark_id, DROP),
            "params": {"name": WORKLOAD, "batch_size": COUNT, "mode": MODE, "dtype": DTYPE},
            "param": Text(form(_LABEL), DROP),
            "extra_info": {
                "power": {
                    "watts": TIME,
                    "rail": Text(
                        form(
                            r"|(?:CPU|GPU|DRAM|ANE|package-\d)(?: \+ (?:CPU|GPU|DRAM|ANE|package-\d)){0,7}|nothing"
                        )
                    ),
                    "source": Text(one_of("measured", "modelled", "unavailable"), REFUSE),
                    "tool": Text(one_of("", "RAPL", "zeus-apple-silicon")),
                    "seconds": TIME,
                    "why": PROSE,
                    "per_watt": TIME,
                },
                "memory": {"live": BYTES, "driver": BYTES, "peak_rss": BYTES},
                "workload": WORKLOAD,
                "framework": Text(one_of("torch", "mlx"), REFUSE),
                "device": DEVICE,
                "emulated": FLAG,
                "parity": PROSE,
                "flop_per_call": NUMBER,
                "bytes_per_call": NUMBER,
                "compulsory_bytes_per_call": NUMBER,
                "malloc": MALLOC,
                "warm_up_steps": COUNT,
                "steady": FLAG,
                "mode": MODE,
                "dtype": DTYPE,
                "batch_size": COUNT,
                "unit": Text(one_of("samples", "tokens"), REFUSE),
                "items_per_call": NUMBER,
                "tokens_per_call": TIME,
                "parameters": NUMBER,
                "threads": COUNT,
                "identity": Text(form(r"ast1-[0-9a-f]{12}"), REFUSE),
                "source_hash": Text(form(r"[0-9a-f]{16}"), REFUSE),  # files from before "identity"
                "marks": Each(PROSE),
            },
            "options": {
                "disable_gc": FLAG,
                "timer": Text(one_of("perf_counter", "process_time", "time", "monotonic"), DROP),
                **dict.fromkeys(
                    ("min_rounds", "max_time", "min_time", "precision", "confidence"), TIME
                ),
                "warmup": FLAG,
            },
            "stats": {
                **dict.fromkeys(
                    (
                        *(
                            "min",
                            "max",
                            "mean",
                            "stddev",
                            "rounds",
                            "median",
                            "iqr",
                            "q1",
                            "q3",
                            "ops",
                        ),
                        *(
                            "iqr_outliers",
                            "stddev_outliers",
                            "ld15iqr",
                            "hd15iqr",
                            "total",
                            "iterations",
                        ),
                    ),
                    TIME,
                ),
                "outliers": Text(form(r"\d{1,4};\d{1,4}"), DROP),
                "data": Each(TIME),
            },
        }
    ),
    "datetime": MOMENT,
    "version": VERSION,
    "versions": VERSIONS,
    "metalassay": {
        "schema": Text(form(r"metalassay\.benchmarks/1"), REFUSE),
        "series": Text(form(r"[0-9a-f]{10,18}"), REFUSE),
        "selftest": {
            "checks": Each({"name": PROSE, "passed": FLAG, "saw": PROSE}),
            "roof": _PEAK,
            "roofs": Keys(one_of("cpu", "mps", "cuda"), _PEAK),
        },
        "conditions": {"before": _SNAPSHOT, "after": _SNAPSHOT},
    },
}

FORMATS: Mapping[str, Schema] = {
    f"{verdict_file.NAME}/": VERDICTS,
    f"{smoke_file.NAME}/": SMOKE,
    f"{max_batch_file.NAME}/": MAX_BATCH,
    f"{evidence.NAME}/": EXPERIMENT,
}
"""By the beginning of the member "schema"; a file without one is of ``BENCHMARKS``."""
