"""The environment variables of a training: their evidence, and what is chosen for a machine and a user."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metalassay.claims import catalogue
from metalassay.environment import settings, variables
from metalassay.environment.settings import HIGH, LOW, Setting
from metalassay.machine import hardware
from metalassay.machine.hardware import Hardware

ROOT = Path(__file__).parents[2]
M4 = Hardware(
    system="Darwin",
    release="macOS 15.5",
    machine="arm64",
    chip="Apple M4",
    model="Mac16,10",
    physical_cores=10,
    performance_cores=4,
    efficiency_cores=6,
    logical_cores=10,
    gpu="Apple M4",
    gpu_cores=10,
    memory_bytes=16 * 2**30,
    virtual=False,
)
NEW = {"torch": "2.13.0", "accelerate": "1.8.0", "huggingface-hub": "1.33.0"}
LINUX = {**NEW, settings.GLIBC: "2.36"}
# What Metal recommends on machines with so many GiB, as reported by their users.
RECOMMENDED = [(32, 21845 / 1024), (64, 48), (96, 72), (128, 107.52), (256, 239)]


def mac(gib: int, **fields: Any) -> Hardware:
    return replace(M4, memory_bytes=gib * 2**30, **fields)


def on_a_mac(
    machine: Hardware = M4,
    installed: Mapping[str, str] = NEW,
    environ: Mapping[str, str] | None = None,
    *,
    forks: bool = False,
) -> dict[str, Setting]:
    chosen = settings.choose(machine, "Darwin", installed, environ or {}, forks=forks)
    return {each.variable: each for each in chosen}


def on_linux(installed: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Setting]:
    chosen = settings.choose(replace(M4, system="Linux"), "Linux", installed, environ)
    return {each.variable: each for each in chosen}


def values(chosen: Mapping[str, Setting]) -> dict[str, str]:
    return {name: each.value for name, each in chosen.items() if each.value is not None}


@pytest.mark.parametrize("rule", settings.load(), ids=lambda rule: rule.variable)
def test_every_rule_names_its_evidence(rule: settings.Rule) -> None:
    assert rule.sure in settings.SURE
    assert rule.reason.endswith(".")
    assert rule.shown
    assert rule.link.startswith("https://")
    assert bool(rule.value) is not bool(rule.compute)
    assert not rule.compute or rule.compute in settings.COMPUTED
    assert bool(rule.matters) is not bool(rule.unmeasured)
    assert rule.matters in ("", "cpu", "mps", "function")
    assert not rule.claim or catalogue.get(rule.claim)
    for word in rule.shown.replace(";", " ").replace(",", " ").split():
        file, _, test = word.partition("::")
        if file.startswith(("compat/", "tests/", "machine/")):
            path = ROOT / ("src/metalassay" if file.startswith("machine/") else "") / file
            assert f"def {test}" in path.read_text("utf-8")


def test_what_is_measured_or_executed_names_the_test_or_the_file() -> None:
    for rule in settings.load():
        if rule.sure in ("measured", "executed"):
            assert ".py" in rule.shown, rule.variable


def test_a_variable_that_is_left_out_has_a_reason_and_is_not_set() -> None:
    ours = {rule.variable for rule in settings.load()}
    out = [each.variable for each in settings.left_out()]
    assert len(out) == len(set(out))
    assert not ours & set(out)
    for each in settings.left_out():
        assert each.reason.endswith(".")
        assert each.link.startswith("https://")
        assert not each.claim or catalogue.get(each.claim)
    # What doctor warns of is either set by us or left out with its reason.
    assert {rule.variable for rule in variables.load()} <= ours | set(out)


def test_every_variable_that_the_guides_set_is_set_or_left_out() -> None:
    ours = {rule.variable for rule in settings.load()}
    ours |= {each.variable for each in settings.left_out()}
    name = re.compile(r"(?<![A-Za-z_.])_?[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+(?![A-Za-z_])")
    named = {found for claim in catalogue.load() for found in name.findall(claim.claim)}
    assert len(named) > 12
    assert named - ours == set()


def test_the_reason_for_leaving_one_out_is_that_of_its_rule_or_its_claim() -> None:
    out = {each.variable: each.reason for each in settings.left_out()}
    says = {rule.id: rule.says for rule in variables.load()}
    assert out["UV_WORKER_COUNT"] == says["uv-worker-count-invented"]
    assert out["PYTHONHASHSEED"].startswith("It fixes the hashes of text")


def test_an_m4_with_the_newest_torch() -> None:
    assert values(on_a_mac()) == {
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        HIGH: "1.2",
        LOW: "0.98",
        "OMP_NUM_THREADS": "4",  # for accelerate launch
        "HF_HUB_DOWNLOAD_TIMEOUT": "60",
        "HF_HUB_ETAG_TIMEOUT": "30",
        "UV_HTTP_TIMEOUT": "120",
    }


@pytest.mark.parametrize("gib", [8, 16, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512])
def test_the_watermarks_are_a_pair_that_torch_accepts(gib: int) -> None:
    chosen = values(on_a_mac(mac(gib)))
    assert 0.5 < float(chosen[LOW]) < float(chosen[HIGH]) <= 2


@pytest.mark.parametrize(("gib", "recommended"), RECOMMENDED)
def test_the_memory_of_mps_ends_below_that_of_the_machine(gib: int, recommended: float) -> None:
    high = float(values(on_a_mac(mac(gib)))[HIGH])
    assert 0.75 * gib <= high * recommended <= 0.9 * gib
    assert 1.7 * recommended > gib  # torch's own limit is beyond it


@pytest.mark.parametrize(
    ("environ", "ours"),
    [
        ({HIGH: "0.7"}, {LOW: "0.57"}),
        ({HIGH: "0.004"}, {LOW: "0.0032"}),
        ({HIGH: "2.0"}, {LOW: "1.64"}),
        ({HIGH: "0.0"}, {}),  # without a limit
        ({HIGH: "3"}, {}),  # torch refuses it with any low one
        ({HIGH: "much"}, {}),  # read as 0.0
        ({HIGH: ""}, {}),
        ({LOW: "0.5"}, {HIGH: "1.2"}),
        ({LOW: "1.3"}, {}),  # a high one above it would be beyond the memory
        ({LOW: "nothing"}, {HIGH: "1.2"}),  # read as 0.0
        ({HIGH: "1.1", LOW: "0.9"}, {}),
    ],
)
def test_to_one_watermark_of_the_user_the_other_one_is_fitted(
    environ: dict[str, str], ours: dict[str, str]
) -> None:
    chosen = on_a_mac(environ=environ)
    added = {name: value for name, value in values(chosen).items() if name in (HIGH, LOW)}
    assert added == ours
    for name in {HIGH, LOW} - added.keys() - environ.keys():
        assert "your PYTORCH_MPS_" in chosen[name].why_not
    assert {name: chosen[name].yours for name in environ} == environ


def test_without_the_size_of_the_memory_there_are_no_watermarks() -> None:
    chosen = on_a_mac(replace(M4, memory_bytes=None))
    assert chosen[HIGH].why_not == chosen[LOW].why_not == "the size of the memory is unknown"


@pytest.mark.parametrize("rule", settings.load(), ids=lambda rule: rule.variable)
def test_what_the_user_has_set_stays_and_is_named(rule: settings.Rule) -> None:
    for system in ("Darwin", "Linux"):
        chosen = settings.choose(M4, system, LINUX, {rule.variable: "17"}, forks=True)
        found = next(each for each in chosen if each.variable == rule.variable)
        assert (found.value, found.yours, found.why_not) == (None, "17", "")


def test_a_trap_in_a_value_of_the_user_is_named_unless_our_addition_removes_it() -> None:
    def traps(environ: dict[str, str], name: str) -> list[str]:
        return [trap.id for trap in on_a_mac(environ=environ)[name].traps]

    assert traps({HIGH: "0.0"}, HIGH) == ["mps-high-watermark-unlimited"]
    assert traps({"HF_HUB_ETAG_TIMEOUT": "30s"}, "HF_HUB_ETAG_TIMEOUT") == [
        "hf-hub-etag-timeout-no-integer"
    ]
    assert traps({HIGH: "0.7"}, HIGH) == []  # refused by torch alone, accepted with our low one
    assert traps({HIGH: "0.7", LOW: "0.9"}, HIGH) == ["mps-high-watermark-below-low"]


@pytest.mark.parametrize("torch", ["2.0.1", "2.3.1", "2.7.1", "2.8.0", "2.13.0", "2.15.0"])
@pytest.mark.parametrize("gib", [8, 128, 512])
def test_doctor_finds_nothing_wrong_with_our_values(torch: str, gib: int) -> None:
    installed = {**LINUX, "torch": torch}
    for system in ("Darwin", "Linux"):
        chosen = settings.choose(mac(gib), system, installed, {}, forks=True)
        environ = {each.variable: each.value for each in chosen if each.value is not None}
        found = variables.check(environ, installed, system, usable=True)
        assert [match.rule.id for match in found if match.value is not None] == []


@pytest.mark.parametrize(
    ("installed", "value", "says"),
    [
        ({"torch": "2.3.1"}, "4", ""),
        ({"torch": "2.3.0a0+git123"}, "4", ""),
        (
            {"torch": "2.4.1"},
            None,
            "torch <2.4, and this is 2.4.1; it is for accelerate >=1.1.1, and there is no accelerate",
        ),
        ({"torch": "2.4.1", "accelerate": "1.8.0"}, "4", ""),
        ({"torch": "unreadable"}, None, "the version here is unknown"),
        ({}, None, "there is no torch here"),
    ],
)
def test_threads_are_set_where_torch_or_the_launcher_would_take_others(
    installed: dict[str, str], value: str | None, says: str
) -> None:
    found = on_a_mac(installed=installed)["OMP_NUM_THREADS"]
    assert found.value == value
    assert says in found.why_not
    assert bool(found.why_not) is (value is None)


def test_an_unknown_number_of_cores_is_not_guessed() -> None:
    found = on_a_mac(replace(M4, performance_cores=None))["OMP_NUM_THREADS"]
    assert found.value is None
    assert found.why_not.endswith("the number of performance cores is unknown")


def test_an_intel_python_has_no_mps() -> None:
    found = on_a_mac(replace(M4, machine="x86_64", translated=True))
    assert found[HIGH].why_not == "this Python is an Intel program under Rosetta"
    found = on_a_mac(replace(M4, machine="x86_64", translated=False))
    assert found["PYTORCH_ENABLE_MPS_FALLBACK"].why_not == "it is for Apple silicon"


def test_tokenizers_are_left_alone_unless_the_program_forks() -> None:
    assert "--forks" in on_a_mac()["TOKENIZERS_PARALLELISM"].why_not
    assert on_a_mac(forks=True)["TOKENIZERS_PARALLELISM"].value == "false"


def test_linux_has_the_variables_of_glibc_and_none_of_mps() -> None:
    chosen = on_linux(LINUX, {})
    assert chosen["MALLOC_TRIM_THRESHOLD_"].value == "-1"
    assert chosen["MALLOC_MMAP_MAX_"].value == "0"
    assert chosen[HIGH].why_not == "it is for macOS"
    assert "there is no glibc here" in on_linux(NEW, {})["MALLOC_MMAP_MAX_"].why_not


def test_of_two_that_are_right_only_together_none_is_set_beside_the_users() -> None:
    found = on_linux(LINUX, {"MALLOC_MMAP_MAX_": "65536"})["MALLOC_TRIM_THRESHOLD_"]
    assert found.value is None
    assert found.why_not == "it belongs with MALLOC_MMAP_MAX_, which is yours"


def test_the_environment_is_what_is_to_be_added_to_the_one_that_there_is() -> None:
    added = settings.environment({}, {"UV_HTTP_TIMEOUT": "7"})
    assert "UV_HTTP_TIMEOUT" not in added
    assert added["HF_HUB_ETAG_TIMEOUT"] == "30"
    assert settings.environment({}, {**added, "UV_HTTP_TIMEOUT": "7"}) == {}


def test_the_environment_is_that_of_this_process_unless_one_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "11")
    assert "HF_HUB_ETAG_TIMEOUT" not in settings.environment({})
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT")
    assert settings.environment({})["HF_HUB_ETAG_TIMEOUT"] == "30"


def test_this_machine_is_asked_without_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def probe(*, gpu_too: bool = True) -> Hardware:
        asked.append(gpu_too)
        return mac(128)

    monkeypatch.setattr(hardware, "probe", probe)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert settings.environment(NEW, {})[HIGH] == "1.07"
    assert asked == [False]


def test_another_c_library_is_no_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.36")
    assert settings.c_library() == {settings.GLIBC: "2.36"}

    def unknown(_: str) -> str:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "confstr", unknown)
    assert settings.c_library() == {}
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(os, "confstr", lambda _: "glibc 2.36")
    assert settings.c_library() == {}


FAULTS = """
import resource
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(6):
    block = bytearray(40 << 20)
    block[::4096] = b"x" * len(block[::4096])
    del block
print(faults() - before)
"""


@pytest.mark.skipif(not settings.c_library(), reason="the variables are those of glibc")
def test_the_malloc_variables_save_page_faults_only_together() -> None:
    def faults(**environ: str) -> int:
        usual = {name: each for name, each in os.environ.items() if not name.startswith("MALLOC_")}
        command = [sys.executable, "-c", FAULTS]
        done = subprocess.run(
            command, env={**usual, **environ}, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    trim, mmap = {"MALLOC_TRIM_THRESHOLD_": "-1"}, {"MALLOC_MMAP_MAX_": "0"}
    none, both = faults(), faults(**trim, **mmap)
    assert both < none / 3
    assert faults(**trim) > none / 2
    assert faults(**mmap) > none / 2


@pytest.mark.slow
def test_accelerate_launch_takes_one_thread_unless_told(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    pytest.importorskip("torch")
    (tmp_path / "seen.py").write_text("import torch; print('threads', torch.get_num_threads())")
    command = [sys.executable, "-m", "accelerate.commands.launch", "seen.py"]
    usual = {
        name: each
        for name, each in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }

    def threads(**environ: str) -> str:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**usual, "HF_HOME": str(tmp_path), **environ},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()[-1]

    assert threads() == "1"
    assert threads(OMP_NUM_THREADS="2") == "2"
