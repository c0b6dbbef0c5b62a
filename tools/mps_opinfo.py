"""PyTorch's own operator tests for MPS: which OpInfos to run, and which it expects to fail.

Used by emulator_opinfo.py and preflight_recall.py. Needs torch >= 2.8 and expecttest.
"""

from __future__ import annotations

import ast
import sys
from importlib import util
from pathlib import Path
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db


def float32_infos() -> list[Any]:
    """Return the OpInfos of torch's test database that take float32."""
    # jiterator works only on CUDA, and raises an assertion elsewhere.
    return [
        info
        for info in op_db
        if torch.float32 in info.dtypes and not info.name.startswith("jiterator")
    ]


def expected_failures() -> frozenset[str]:
    """Return the names of the OpInfos that PyTorch expects to fail on MPS in float32.

    They are the keys of ``common_mps.UNIMPLEMENTED_XFAILLIST``: name and variant, without a separator.
    Exits if this torch has no such list.
    """
    # The module is not imported, because it needs MPS.
    spec = util.find_spec("torch.testing._internal.common_mps")
    if spec is None or spec.origin is None:
        sys.exit("this torch has no common_mps; use torch 2.8 or newer")
    for node in ast.walk(ast.parse(Path(spec.origin).read_text("utf-8"))):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        target: ast.expr = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if getattr(target, "id", "") == "UNIMPLEMENTED_XFAILLIST":
            code = compile(ast.Expression(node.value), "common_mps", "eval")
            by_name = eval(code, {"torch": torch})  # noqa: S307  (torch's own list)
            return frozenset(
                name
                for name, dtypes in by_name.items()  # None: all dtypes
                if dtypes is None or torch.float32 in dtypes
            )
    sys.exit("common_mps has no UNIMPLEMENTED_XFAILLIST; use torch 2.8 or newer")
