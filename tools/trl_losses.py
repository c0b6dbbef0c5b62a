"""Record the losses of TRL's SFTTrainer and DPOTrainer, which ours are compared with.

    PYTHONPATH=src:tests/support PYTHON tools/trl_losses.py            write tests/data/trl_losses.json
    PYTHONPATH=src:tests/support PYTHON tools/trl_losses.py --check    compare to 1e-5, and write nothing

PYTHON is an interpreter with trl, transformers, datasets and tokenizers, such as that of the row
boundary-1.8.0 of matrix.toml. The weights come from a formula, and the tokens from the dialogues in the
package; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import trl_reference

from metalassay.files import write_atomically

FILE = Path(__file__).parents[1] / "tests" / "data" / "trl_losses.json"
PACKAGES = ("trl", "transformers", "accelerate", "datasets", "tokenizers", "torch")
TOLERANCE = 1e-5


def differences(recorded: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two values of JSON, numbers by more than ``TOLERANCE``."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        for key in sorted(recorded.keys() | now.keys()):
            yield from differences(recorded.get(key), now.get(key), f"{where}.{key}")
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for number, pair in enumerate(zip(recorded, now, strict=True)):
            yield from differences(*pair, f"{where}[{number}]")
    elif isinstance(recorded, float) and isinstance(now, float):
        if not math.isclose(recorded, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{where}: {recorded} was recorded, is {now}"
    elif recorded != now:
        yield f"{where}: {recorded} was recorded, is {now}"


def main() -> int:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    options = parser.parse_args()
    start, policy = trl_reference.trained(), trl_reference.trained(1.01)
    now = {"sft": trl_reference.sft(start), "dpo": trl_reference.dpo(start, policy)}
    if options.check:
        recorded = json.loads(FILE.read_text("utf-8"))
        found = [*differences({key: recorded[key] for key in now}, now)]
        print("\n".join(found) or f"equal to {TOLERANCE:g} with trl {metadata.version('trl')}")
        return 1 if found else 0
    provenance = {
        "source": "https://github.com/huggingface/trl: SFTTrainer.compute_loss, DPOTrainer.dpo_loss",
        "made_by": "tools/trl_losses.py",
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }
    write_atomically(FILE, json.dumps({**provenance, **now}, indent=1) + "\n")
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
