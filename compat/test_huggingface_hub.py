"""Names that huggingface_hub removed and that older libraries still import."""

from __future__ import annotations

import pytest
from fresh_import import import_in_a_fresh_process

from metalassay.environment import versions

if "huggingface-hub" not in versions.installed():
    pytest.skip("huggingface-hub is not installed", allow_module_level=True)

REMOVED = "huggingface-hub-names-removed"

pytestmark = pytest.mark.slow


@pytest.mark.bug(REMOVED, symptom="cached-download")
def test_the_hub_has_cached_download(upstream: str) -> None:
    import_in_a_fresh_process("from huggingface_hub import cached_download")


@pytest.mark.bug(REMOVED, symptom="hf-folder")
def test_the_hub_has_hffolder(upstream: str) -> None:
    import_in_a_fresh_process("from huggingface_hub import HfFolder")
