"""The attributes of torch that the emulation patches, and the caches that it clears."""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from typing import Any

import pytest
import torch

from metalassay.mps.emulator import shims


def patched() -> list[Any]:
    """Return the attributes that the shims replace, as they are now."""
    c: Any = torch._C
    return [
        c._has_mps,
        getattr(c, "_mps_get_name", None),
        torch.mps._default_mps_generator,
        vars(torch.UntypedStorage).get("mps"),
    ]


def test_the_attributes_are_replaced_inside_the_block_and_restored_after_an_error() -> None:
    before = patched()
    with contextlib.suppress(KeyError), shims.shims([]):
        has_mps, get_name, generator, to_mps = patched()
        assert (has_mps, get_name(), generator) == (True, shims.NAME, None)
        assert to_mps is not before[3]
        raise KeyError
    assert patched() == before


def test_caches_about_devices_are_cleared_and_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    @functools.cache
    def is_torch_mps_available() -> None:
        calls.append("mps")

    @functools.cache
    def version_of() -> None:
        calls.append("version")

    module: Any = types.ModuleType("transformers.utils.import_utils")
    module.is_torch_mps_available, module.version_of = is_torch_mps_available, version_of
    monkeypatch.setitem(sys.modules, "transformers.utils.import_utils", module)
    for _ in range(2):
        module.is_torch_mps_available()
        module.version_of()
        shims.clear_caches()
    assert calls == ["mps", "version", "mps"]
