"""Print what a wheel's own torchgen knows about the MPS backend. Run as a script, never imported.

``python -I torchgen_child.py FOLDER``, with the ``torchgen`` package of a wheel in FOLDER, prints a
JSON object for ``extract.py``. It runs in a process of its own because each torch has its own
torchgen, including an installed one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Print the facts about every aten overload, including generated ones, as a JSON object."""
    sys.path.insert(0, str(folder))
    from torchgen.gen import parse_native_yaml

    packaged = folder / "torchgen" / "packaged" / "ATen" / "native"
    parsed = parse_native_yaml(str(packaged / "native_functions.yaml"), str(packaged / "tags.yaml"))
    indices = {str(key): index.index for key, index in parsed.backend_indices.items()}
    mps, cpu, sparse = (indices.get(key, {}) for key in ("MPS", "CPU", "SparseMPS"))
    overloads = {}
    for function in parsed.native_functions:
        name, delegate = function.func.name, function.structured_delegate
        # For a structured operator, the yaml names the backends of the .out variant only; torchgen
        # registers the functional and in-place variants with it, except for sparse backends.
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
