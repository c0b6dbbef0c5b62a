"""Apply the patches that a library needs right after it has been imported."""

from __future__ import annotations

import sys
from types import ModuleType

from metalassay import patches
from metalassay.child.run import Run, say
from metalassay.errors import reason


def apply(run: Run, module: ModuleType) -> None:
    """Apply the patches of the configuration that change this module, where they are needed.

    A patch whose target does not look as it expects is not applied, which is said in one line.
    """
    for name in run.config.patches:
        try:
            if module.__name__ != patches.load(name).TARGET:
                continue
            patches.install(name)
        except Exception as error:  # noqa: BLE001  (a patch reads code that it may not know)
            library = module.__name__.partition(".")[0]
            why = f"{library} {_version(library)} does not look as it expects: {reason(error)}"
            say(f"the patch {name} is not applied; {why}")
            run.send("not patched", patch=name, why=why)
        else:
            if patches.applied()[name]:
                run.send("patched", patch=name, bug=name.replace("_", "-"))


def _version(library: str) -> str:
    """Return the version of a library that is being imported, or "of an unknown version"."""
    from importlib import metadata

    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        found = getattr(sys.modules.get(library), "__version__", None)
        return found if isinstance(found, str) else "of an unknown version"
