"""Machines for the tests of hardware: two records, and command output from data/constructed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from metalassay.machine.hardware import Hardware

CONSTRUCTED = Path(__file__).parents[1] / "data" / "constructed"

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
UNKNOWN = Hardware("Darwin", "macOS 15.1", "arm64", *[None] * 10)


def constructed(name: str) -> str:
    """Return the text of a file in data/constructed."""
    return (CONSTRUCTED / name).read_text(encoding="utf-8")


# Arbitrary JSON, some of which resembles an entry of system_profiler.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["sppci_model", "sppci_cores", "_name"]), inner)
    ),
    max_leaves=8,
)
