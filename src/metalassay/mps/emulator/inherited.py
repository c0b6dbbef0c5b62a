"""Hand an emulation down to the Python processes that the program starts, through their environment.

`child/startup/sitecustomize.py` starts it there, once torch has been imported.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import metalassay
from metalassay.fields import FieldError, parse_json

VARIABLE = "METALASSAY_EMULATED_MPS"
# Python looks for sitecustomize.py in each folder of PYTHONPATH.
_HOOK = str(Path(metalassay.__file__).parent / "child" / "startup")


@dataclass(frozen=True)
class Options:
    """The options of ``emulate_mps`` as they were given; None lets the child take its own default."""

    torch: str | None
    fallback: bool | None
    memory: int | None
    dead: bool


@contextlib.contextmanager
def handed_down(options: Options) -> Iterator[None]:
    """Let processes that are started in the block emulate mps as this one does."""
    folders = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    if _HOOK not in folders:
        folders.insert(0, _HOOK)
    fresh = {VARIABLE: json.dumps(asdict(options)), "PYTHONPATH": os.pathsep.join(folders)}
    before = {name: os.environ.get(name) for name in fresh}
    os.environ.update(fresh)
    try:
        yield
    finally:
        for name, value in before.items():
            if os.environ.get(name) != fresh[name]:
                continue  # the program has set it itself
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def received() -> Options | None:
    """Return what the process that started this one handed down, or None.

    Raises ``ValueError`` if the variable is malformed.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    try:
        return Options(**parse_json(text))
    except (FieldError, TypeError) as error:
        raise ValueError(f"{VARIABLE}={text!r} is not what metalassay writes: {error}") from None
