"""A function that returns a tuple where its caller asks for true or false."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages_on_disk import read

from metalassay.linkcheck import returns
from metalassay.linkcheck.reach import Reach

OLD = "def _is_package_available(name, return_version=False) -> tuple[bool, str] | bool:\n    return x\n"
NEW = (
    "def _is_package_available(name, return_version=False) -> tuple[bool, str]:\n    return x, y\n"
)
TRL = {
    "flags.py": """\
        from transformers.utils import _is_package_available
        _mergekit_available = _is_package_available("mergekit")
        _other_available = _is_package_available("other")
        _vllm_available, _version = _is_package_available("vllm", return_version=True)
        """,
    "grpo.py": """\
        from .flags import is_mergekit_available
        if is_mergekit_available():
            import mergekit
        class GRPOTrainer: ...
        """,
}


@pytest.mark.parametrize(("text", "found"), [(OLD, False), (NEW, True), ("", None)])
def test_a_function_that_always_returns_a_tuple(
    tmp_path: Path, text: str, found: bool | None
) -> None:
    provider = read(tmp_path, "transformers", {"utils.py": text})
    assert returns.returns_tuple(provider, "transformers.utils._is_package_available") is found


def test_only_flags_whose_package_an_entry_then_imports_matter(tmp_path: Path) -> None:
    caller = read(tmp_path, "trl", TRL)
    reach = Reach(caller)
    asked = {
        use.member: returns.entry_of(use, caller, reach)
        for use in caller.uses()
        if returns.asked(use)
    }
    assert asked == {"mergekit": "GRPOTrainer", "other": ""}
