"""Run by Python itself as it starts, in each process that a program under preflight starts.

The recording process puts this folder first on the PYTHONPATH of its children. A child that imports
torch is recorded from then on; one that does not is left alone. The ``sitecustomize`` that this one
hides is imported, as Python would have done it. Python 3.6 can parse this file.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))


def _follow(folder: str) -> None:
    from importlib.machinery import SourceFileLoader

    def load(name: str, path: str) -> "Any":
        module = type(sys)(name)
        module.__file__ = path
        SourceFileLoader(name, path).exec_module(module)
        return module

    preflight = os.path.dirname(_HERE)
    package = os.path.dirname(os.path.dirname(preflight))
    finder = load(
        "_metalassay_after_import", os.path.join(package, "after_import.py")
    ).AfterImport()

    def begin(_: object) -> None:
        finder.remove("torch")
        load("_metalassay_follow", os.path.join(preflight, "recording.py")).follow(folder)

    finder.add("torch", begin)
    sys.meta_path.insert(0, finder)


if os.environ.get("METALASSAY_PREFLIGHT") and sys.version_info >= (3, 10):
    _follow(os.environ["METALASSAY_PREFLIGHT"])

if _HERE in sys.path:
    sys.path.remove(_HERE)
    _this = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = _this
