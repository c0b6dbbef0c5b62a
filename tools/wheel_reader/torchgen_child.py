"""Run as a script, never imported: asks a wheel's own torchgen what the MPS backend has.

``python -I torchgen_child.py FOLDER``, with the ``torchgen`` package of a wheel in FOLDER, prints a
JSON object; ``extract.py`` reads it. It is a process of its own because every torch has its own
torchgen, and because an installed torch brings one, too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Print what the yaml says about every aten overload, the generated ones included."""
    sys.path.insert(0, str(folder))
    from torchgen.gen import parse_native_yaml

    packaged = folder / "torchgen" / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(packaged / "native_functions.yaml"), str(packaged / "tags.yaml"))
    indices = {str(key): index.index for key, index in parsed.backend_indices.items()}
    mps, cpu, sparse = (indices.get(key, {}) for key in ("MPS", "CPU", "SparseMPS"))
    overloads = {}
    for function in parsed.native_functions:
        name, delegate = function.func.name, function.structured_delegate
        # Of a structured operator, the yaml names the backends of the .out variant alone; torchgen
        # registers the functional and the in-place variant with them. Not so for sparse backends.
        overloads[str(name)] = {
            "mps": name in mps or delegate in mps,
            "cpu": name in cpu or delegate in cpu,
            "sparse_mps": name in sparse,
            "composite_explicit": function.has_composite_explicit_autograd_kernel,
            "composite_implicit": function.has_composite_implicit_autograd_kernel,
            "composite_non_functional": (
                function.has_composite_explicit_autograd_non_functional_kernel
            ),
            "delegate": None if delegate is None else str(delegate),
        }
    print(json.dumps(overloads))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
