"""`metalassay.patches.install` activates patches permanently, without importing the library."""

from __future__ import annotations

import subprocess
import sys

import pytest

from metalassay import patches
from metalassay.environment import versions

needs_accelerate = pytest.mark.skipif(
    "accelerate" not in versions.installed(), reason="accelerate is not installed"
)


def printed(code: str) -> list[str]:
    """Run code in a fresh interpreter and return what it printed, line by line."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_installing_imports_no_library() -> None:
    assert printed(
        "import sys, metalassay.patches as p; p.install(); p.install()\n"
        "print(sorted({'torch', 'accelerate', 'numpy'} & set(sys.modules)))"
    ) == ["[]"]


@pytest.mark.slow
@needs_accelerate
def test_patches_are_applied_at_the_first_import_and_removed_by_uninstall() -> None:
    lines = printed(
        "import sys, inspect, metalassay.patches as p\n"
        "finders = len(sys.meta_path)\n"
        "p.install()\n"
        "import accelerate.data_loader as d\n"
        "iter_ = lambda: d.DataLoaderDispatcher.__dict__['__iter__'].__module__\n"
        "code = lambda: d.DataLoaderDispatcher.__dict__['__iter__'].__code__.co_filename\n"
        "print('metalassay' in code())\n"
        "print('class DataLoaderShard' in inspect.getsource(d))\n"
        "print(len(sys.meta_path) == finders)\n"
        "p.install()\n"
        "p.uninstall()\n"
        "print('metalassay' in code())\n"
        "p.install()\n"
        "print('metalassay' in code())\n"
    )
    assert lines == ["True", "True", "True", "False", "True"]


@pytest.mark.slow
@needs_accelerate
def test_an_installed_patch_works_beside_the_context_manager() -> None:
    lines = printed(
        "import metalassay.patches as p; p.install('accelerate_empty_dispatcher')\n"
        "from metalassay.patches import accelerate_empty_dispatcher as d\n"
        "import accelerate\n"
        "from torch.utils.data import DataLoader, IterableDataset\n"
        "class Nothing(IterableDataset):\n"
        "    def __iter__(self): return iter(())\n"
        "a = accelerate.Accelerator(cpu=True)\n"
        "with d.patch(): print(list(a.prepare(DataLoader(Nothing()))))\n"
        "print(list(a.prepare(DataLoader(Nothing()))))\n"
    )
    assert lines == ["[]", "[]"]


def test_an_unknown_name_is_an_error_that_lists_the_patches() -> None:
    with pytest.raises(ValueError, match="no patch is called 'x'; the patches are: accelerate_"):
        patches.install("x")
