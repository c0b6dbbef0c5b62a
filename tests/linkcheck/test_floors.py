"""Versions that transformers refuses when it runs."""

from __future__ import annotations

from metalassay.linkcheck import floors
from metalassay.linkcheck.floors import Floor

FILES = {
    "transformers/dependency_versions_table.py": 'deps = {"accelerate": "accelerate>=0.26.0", "numpy": "numpy>=1.17", "huggingface-hub": "huggingface-hub>=0.30.0,<1.0", "black": "black>=23"}',
    "transformers/dependency_versions_check.py": 'pkgs_to_check_at_runtime = ["python", "numpy", "huggingface-hub", "accelerate"]',
    "transformers/utils/import_utils.py": 'ACCELERATE_MIN_VERSION = "1.1.0"\nlog("PyTorch >= 2.4 is required but found")\n',
}


def test_what_is_tested_at_import_and_by_trainer() -> None:
    assert floors.read("transformers", lambda path: FILES.get(path, "")) == (
        Floor("numpy>=1.17", "import"),
        Floor("huggingface-hub>=0.30.0,<1.0", "import"),
        Floor("accelerate>=1.1.0", "Trainer"),
        Floor("torch>=2.4", "Trainer"),
    )


def test_an_old_release_lists_names_in_one_string() -> None:
    files = {**FILES, "transformers/utils/import_utils.py": ""}
    files["transformers/dependency_versions_check.py"] = (
        'pkgs_to_check_at_runtime = "python numpy".split()'
    )
    assert floors.read("transformers", lambda path: files.get(path, "")) == (
        Floor("numpy>=1.17", "import"),
        Floor("accelerate>=0.26.0", "Trainer"),
    )


def test_other_packages_have_none() -> None:
    assert floors.read("trl", lambda path: "") == ()
