"""Public entries, and which of them everybody uses."""

from __future__ import annotations

import subprocess
import sys

from metalassay.linkcheck import entries


def test_ordinary_entries() -> None:
    assert entries.is_ordinary("RewardTrainer, DPOTrainer")
    assert not entries.is_ordinary("RewardTrainer")
    assert not entries.is_ordinary("")


def test_what_everybody_uses_is_an_entry() -> None:
    known = {entry for each in entries.ENTRIES.values() for entry in each}
    assert known | {entries.IMPORT} >= entries.ORDINARY


def test_the_atlas_is_asked_without_loading_what_reads_sources() -> None:
    code = "import sys; from metalassay.linkcheck import known_breaks; known_breaks({}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "metalassay.linkcheck.atlas" in loaded
    assert not {"metalassay.linkcheck.installed", "metalassay.linkcheck.module_reader"} & {*loaded}
