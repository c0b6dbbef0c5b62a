"""Claims of guides that shells, Python and our own data decide, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalassay import bugs
from metalassay.machine import chips
from metalassay.mps.operators import oracle


def python(*arguments: str, folder: Path | None = None, **environment: str) -> str:
    """Run this Python with these variables added, PYTHONPATH gone; return what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**clean, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_a_host_platform_changes_only_the_name_of_the_platform() -> None:
    if os.name != "posix":
        pytest.skip("Python reads the variable on POSIX only")
    code = "import sysconfig, platform, sys; print({})"
    name = "macosx-15.1-invented"
    asked = code.format("sysconfig.get_platform()")
    assert python("-c", asked, _PYTHON_HOST_PLATFORM=name) == name
    facts = code.format("platform.machine(), platform.system(), sys.platform")
    assert python("-c", facts, _PYTHON_HOST_PLATFORM=name) == python("-c", facts)


def test_a_hash_seed_fixes_hashes_but_not_random_numbers() -> None:
    hashes = {python("-c", "print(hash('mps'))", PYTHONHASHSEED="0") for _ in range(2)}
    numbers = {
        python("-c", "import random; print(random.random())", PYTHONHASHSEED="0") for _ in range(2)
    }
    assert len(hashes) == 1
    assert len(numbers) == 2


def test_a_script_imports_from_its_own_folder_and_not_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "model.py").write_text("size = 1\n", "utf-8")
    script = tmp_path / "scripts" / "train.py"
    script.write_text("import src.model\nprint(src.model.size)\n", "utf-8")
    assert "No module named 'src" in python("scripts/train.py", folder=tmp_path)
    assert python("-m", "scripts.train", folder=tmp_path) == "1"
    assert python("scripts/train.py", folder=tmp_path, PYTHONPATH=".") == "1"


def variants(name: str) -> list[chips.Chip]:
    """Return the chips of that name, smallest GPU first."""
    return [chip for chip in chips.load() if chip.name == name]


def bandwidths(name: str) -> set[float]:
    """Return the published memory bandwidths of a chip's variants, in GB/s."""
    return {chip.memory_bandwidth.value for chip in variants(name) if chip.memory_bandwidth}


def test_chips_have_the_cores_and_the_bandwidth_of_guide_002() -> None:
    base, pro = variants("Apple M4"), variants("Apple M4 Pro")
    assert (4, 6) in base[-1].cpu_cores
    assert base[-1].gpu_cores == 10
    assert pro[0].cpu_cores == ((8, 4), (10, 4))
    assert [chip.gpu_cores for chip in pro] == [16, 20]
    assert (bandwidths("Apple M4"), bandwidths("Apple M4 Pro")) == ({120}, {273})
    measured = [chip.measured_bandwidth for chip in (base[-1], pro[-1])]
    assert [each.value for each in measured if each] == [101, 243.7]


def test_the_chips_of_guide_003_are_in_the_order_of_their_bandwidth() -> None:
    max_3, pro_2, first = map(bandwidths, ("Apple M3 Max", "Apple M2 Pro", "Apple M1"))
    assert min(max_3) > max(pro_2)
    assert min(pro_2) > max(first)
    assert (max_3, pro_2) == ({300, 400}, {200})


def test_each_torch_has_more_kernels_and_some_have_new_bugs() -> None:
    kernels = [len(oracle.load(version).kernels) for version in oracle.versions()]
    assert kernels == sorted(set(kernels))
    transposed = bugs.get("mps-linear-transposed-weight")
    hit = [v for v in oracle.versions() if transposed.hits({"torch": v, "macos": "15.0"})]
    assert hit == ["2.8.0"]
