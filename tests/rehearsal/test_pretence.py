"""The rehearsal itself: what is a Mac in it and what is not, and that it catches what no Mac can do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import rehearsal
from rehearsal import Rehearsal, Violations


@pytest.mark.parametrize("mac_name", rehearsal.NAMES)
def test_every_mac_says_where_its_texts_are_from(mac_name: str) -> None:
    facts = rehearsal.read(mac_name)
    assert {source["kind"] for source in facts["source"]} <= {"recorded", "constructed"}
    assert all(
        source["url"].startswith("https://") and source["note"] for source in facts["source"]
    )
    described = {source["of"] for source in facts["source"]}
    assert {"sysctl", "vm_stat", "system_profiler", "pmset -g", "pmset -g therm"} <= described


def test_there_is_a_file_for_every_mac() -> None:
    files = {path.stem for path in (rehearsal.FOLDER / "macs").glob("*.toml")}
    assert files == set(rehearsal.NAMES)


def test_a_program_and_its_children_are_on_a_mac_and_packages_are_not(
    bare: Rehearsal, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import json, multiprocessing, os, platform, subprocess, sys\n"
        "from packaging import tags\n"
        "def say(queue): queue.put([sys.platform, platform.machine()])\n"
        "if __name__ == '__main__':\n"
        "    queue = multiprocessing.get_context().Queue()\n"
        "    process = multiprocessing.Process(target=say, args=(queue,))\n"
        "    process.start()\n"
        "    spawned = queue.get()\n"
        "    process.join()\n"
        "    code = 'import os, platform; print(os.uname().sysname, platform.mac_ver()[0])'\n"
        "    started = subprocess.check_output([sys.executable, '-c', code], text=True, env={})\n"
        "    print(json.dumps([sys.platform, multiprocessing.get_start_method(), spawned,\n"
        "        started.strip(), hasattr(os, 'sched_getaffinity'), next(tags.platform_tags())]))\n",
        "utf-8",
    )
    done = bare.run([sys.executable, str(program)])
    assert done.returncode == 0, done.stderr
    *ours, theirs = json.loads(done.stdout)
    assert ours == ["darwin", "spawn", ["darwin", "arm64"], "Darwin 15.5", False]
    assert "linux" in theirs


def test_psutil_is_that_of_macos(bare: Rehearsal) -> None:
    code = (
        "import json, psutil\n"
        "me = psutil.Process()\n"
        "print(json.dumps([psutil.MACOS, hasattr(psutil, 'sensors_temperatures'),\n"
        "    hasattr(me, 'cpu_affinity'), me.cpu_times()._fields, me.cpu_times()[2:],\n"
        "    psutil.cpu_times()._fields, psutil.virtual_memory()._fields, psutil.cpu_count(),\n"
        "    psutil.virtual_memory().total, psutil.sensors_battery()]))"
    )
    done = bare.python(code)
    assert json.loads(done.stdout) == [
        True,
        False,
        False,
        ["user", "system", "children_user", "children_system"],
        [0.0, 0.0],
        ["user", "nice", "system", "idle"],
        ["total", "available", "percent", "used", "free", "active", "inactive", "wired"],
        10,
        16 * 2**30,
        None,
    ]


def test_tools_answer_at_their_absolute_paths_and_in_the_path(bare: Rehearsal) -> None:
    code = (
        "import json, shutil, subprocess\n"
        "def run(*command):\n"
        "    done = subprocess.run(command, capture_output=True, text=True)\n"
        "    return [done.returncode, done.stdout, done.stderr]\n"
        "print(json.dumps([shutil.which('sysctl'), shutil.which('nvidia-smi'),\n"
        "    run('/usr/sbin/sysctl', '-n', 'hw.model', 'hw.no_such_name', 'hw.memsize'),\n"
        "    run('sw_vers', '-productVersion'), run('vm_stat')[1].splitlines()[0],\n"
        "    run('notifyutil', '-g', 'com.apple.system.thermalpressurelevel')[1],\n"
        "    run('powermetrics'), run('taskpolicy', '-b', 'echo', 'behind')]))"
    )
    done = bare.python(code)
    assert json.loads(done.stdout) == [
        "/usr/sbin/sysctl",
        None,
        [1, "Mac16,10\n", "sysctl: unknown oid 'hw.no_such_name'\n"],
        [0, "15.5\n", ""],
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)",
        "com.apple.system.thermalpressurelevel 0\n",
        [1, "", "powermetrics must be invoked as the superuser\n"],
        [0, "behind\n", ""],
    ]


@pytest.mark.slow
def test_libraries_answer_through_ctypes(tmp_path: Path) -> None:
    code = """
import ctypes, ctypes.util, json
size, level, chip = ctypes.c_size_t(64), ctypes.c_int(), ctypes.create_string_buffer(64)
libc = ctypes.CDLL(ctypes.util.find_library("c"))
libc.sysctlbyname(b"machdep.cpu.brand_string", chip, ctypes.byref(size), None, 0)
libc.sysctlbyname(b"kern.memorystatus_vm_pressure_level", ctypes.byref(level), ctypes.byref(size), None, 0)
token, state = ctypes.c_int(), ctypes.c_uint64()
libc.notify_register_check(b"com.apple.system.thermalpressurelevel", ctypes.byref(token))
libc.notify_get_state(token, ctypes.byref(state))
objc = ctypes.CDLL(ctypes.util.find_library("objc"))
info = objc.objc_msgSend(objc.objc_getClass(b"NSProcessInfo"), objc.sel_registerName(b"processInfo"))
thermal = objc.objc_msgSend(info, objc.sel_registerName(b"thermalState"))
import os, struct, time
while time.process_time() < 0.1: pass
record = ctypes.create_string_buffer(256)
libc.proc_pid_rusage(ctypes.c_int(os.getpid()), ctypes.c_int(1), record)
seconds = sum(struct.unpack_from("<16x2Q", record)) / 24e6
print(json.dumps([chip.value.decode(), level.value, state.value, thermal, hasattr(libc, "mallopt"),
    abs(seconds - time.process_time()) < 0.05]))
"""
    done = Rehearsal("m1", tmp_path, mps=False).python(code)
    assert json.loads(done.stdout) == ["Apple M1", 1, 2, 1, False, True]


OFFENCES = {
    "open: /proc/self/status": "try: open('/proc/self/status')\nexcept OSError: pass",
    "open: /sys/devices/system/cpu/possible": (
        "from pathlib import Path\nimport contextlib\n"
        "with contextlib.suppress(Exception): Path('/sys/devices/system/cpu/possible').read_text()"
    ),
    "os.listdir: /proc": "import os\ntry: os.listdir('/proc')\nexcept OSError: pass",
    "os.fork": "import os\nif os.fork(): os.wait()",
    "subprocess.Popen: nvidia-smi": (
        "import subprocess\ntry: subprocess.run(['nvidia-smi'])\nexcept OSError: pass"
    ),
    "unmodelled: psutil.net_if_stats": "import psutil\npsutil.net_if_stats",
    "unmodelled tool: pmset -g everything": (
        "import subprocess\nsubprocess.run(['pmset', '-g', 'everything'], capture_output=True)"
    ),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_what_no_mac_can_do_is_found_even_if_it_is_caught(bare: Rehearsal, offence: str) -> None:
    with pytest.raises(Violations, match=offence):
        bare.python(OFFENCES[offence])
    assert bare.python("pass").returncode == 0  # the next run is judged by itself


def test_a_violation_of_a_grandchild_counts(bare: Rehearsal) -> None:
    inner = "try: open('/proc/cpuinfo')\nexcept OSError: pass"
    with pytest.raises(Violations, match="/proc/cpuinfo"):
        bare.python(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}])")


def test_our_own_modules_are_watched_too(bare: Rehearsal) -> None:
    code = (
        "from metalassay.machine import conditions\n"
        "conditions.observe()\n"  # on a Mac it asks the Mac
        "assert conditions._governor() is None\n"  # and this asks Linux
    )
    with pytest.raises(Violations, match=r"open: /sys/.*machine/conditions\.py.*_text"):
        bare.python(code)


def test_packages_may_read_what_they_need(bare: Rehearsal) -> None:
    assert bare.python("import psutil\npsutil.Process().memory_info()").returncode == 0


def test_the_environments_own_sitecustomize_runs_as_well(bare: Rehearsal, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('also here')", "utf-8")
    places = f"{rehearsal.PRETENCE}:{tmp_path}:{rehearsal.ROOT / 'src'}"
    done = bare.python("import sys; print(sys.platform)", env={"PYTHONPATH": places})
    assert done.stdout.splitlines() == ["also here", "darwin"]


def test_a_mac_with_mps_has_one_and_our_code_calls_it_emulated(m4: Rehearsal) -> None:
    code = (
        "import torch\n"
        "from metalassay.measure import device\n"
        "on = torch.ones(2, device='mps').sum()\n"
        "print(on.item(), torch.backends.mps.is_available(), device.name(on.device),\n"
        "    device.emulated(on.device))"
    )
    done = m4.python(code)
    assert done.stdout.split("\n")[0] == "2.0 True Apple M4 True", done.stderr
