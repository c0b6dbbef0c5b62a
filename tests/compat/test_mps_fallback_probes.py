"""The calls with which compat/ probes fallbacks call the operators that they are named after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.mps.operators import oracle

COMPAT = Path(__file__).parents[2] / "compat"
CHILD = """
import json, torch, torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
import mps_fallback_probes
from metalassay.mps.operators import oracle
from metalassay.mps.operators.fallback_census import census

class Seen(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        names.append(oracle.plain(str(function)))
        return function(*args, **(kwargs or {}))

seen = {}
exec(mps_fallback_probes.PREPARE)
d = "cpu"
for name, expression in mps_fallback_probes.PROBES.items():
    names = seen[name] = []
    with Seen():
        eval(expression)
expressions = ", ".join(mps_fallback_probes.PROBES.values())
code = mps_fallback_probes.COMPARE.format(expressions=expressions)
exec(code.replace("'mps'", "'cpu'").replace('"mps"', '"cpu"'))
with census(oracle.load(torch.__version__)) as counts:
    torch.mode(x)
    timed = dict(counts._spent)
    step = counts.step()
print(json.dumps({"seen": seen, "timed": sorted(timed), "fallbacks": step.fallbacks}))
"""

if "torch" not in versions.installed():
    pytest.skip("torch is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def known() -> oracle.Operators:
    """Return the operators of the installed torch."""
    try:
        return oracle.load(versions.installed()["torch"])
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def outcome(known: oracle.Operators) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call every probe on the CPU, and compare the CPU with itself in place of MPS."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(COMPAT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    compared, seen = child.stdout.splitlines()
    return json.loads(compared), json.loads(seen)


@pytest.mark.slow
def test_each_probe_calls_the_operator_that_it_is_named_after(
    known: oracle.Operators, outcome: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    for name, seen in outcome[1]["seen"].items():
        # Operators that always fall back on MPS are composed of other operators on the CPU.
        if known.state(name) not in ("fallback", "composite"):
            assert {name, known.asks(name)} & set(seen), name


@pytest.mark.slow
def test_the_comparison_finds_no_difference_between_the_cpu_and_itself(
    outcome: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    assert outcome[0]["difference"] == 0


@pytest.mark.slow
def test_the_census_times_what_would_fall_back_with_the_real_torch(
    outcome: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    assert outcome[1]["timed"] == ["mode"]
    assert outcome[1]["fallbacks"] == []


def test_every_known_torch_lacks_at_least_two_of_the_probed_operators() -> None:
    child = "import mps_fallback_probes, json; print(json.dumps(list(mps_fallback_probes.PROBES)))"
    process = subprocess.run(
        [sys.executable, "-c", child], cwd=COMPAT, capture_output=True, text=True, check=True
    )
    probes = json.loads(process.stdout)
    for version in oracle.versions():
        known = oracle.load(version)
        assert len([name for name in probes if known.asks(name) in known.cpu_only]) > 1, version
        assert {name for name in probes if known.state(name) == "fallback"}, version
