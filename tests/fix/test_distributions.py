"""What an environment has, read by its own interpreter, or from its records alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_environment import Environment

from metalassay.errors import UserError
from metalassay.fix import distributions


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "env")
    made.add("My_Package", "1.0", requires=("accelerate>=1.2", "absent; extra == 'x'"))
    made.add("accelerate", "1.8.0")
    return made


def test_names_versions_and_files_are_read(environment: Environment) -> None:
    found = distributions.read(environment.python)
    assert found.versions == {"my-package": "1.0", "accelerate": "1.8.0"}
    assert found.prefix == environment.prefix
    assert environment.site in found.folders
    assert str(environment.site / "accelerate" / "__init__.py") in (
        found.distributions["accelerate"].files
    )
    assert found.lines == ("accelerate==1.8.0", "my-package==1.0")


def test_a_requirement_that_is_not_met_is_a_conflict(environment: Environment) -> None:
    found = distributions.read(environment.python)
    assert found.conflicts() == frozenset()
    after = {**found.versions, "accelerate": "1.1.1"}
    assert found.conflicts(after) == {"my-package 1.0 requires accelerate>=1.2"}
    del after["accelerate"]
    assert found.conflicts(after) == {"my-package 1.0 requires accelerate"}
    # Another version of the package itself requires other things, which nobody knows here.
    assert found.conflicts({**after, "my-package": "2.0"}) == frozenset()


@pytest.mark.parametrize(
    ("direct", "line"),
    [
        ({"url": "file:///src/mine", "dir_info": {"editable": True}}, "-e file:///src/mine"),
        ({"url": "https://example.org/a.whl"}, "accelerate @ https://example.org/a.whl"),
        ({"nonsense": 1}, "accelerate==1.8.0"),
    ],
)
def test_what_was_not_installed_by_version_has_its_own_line(
    direct: object, line: str, environment: Environment
) -> None:
    environment.add("accelerate", "1.8.0", direct=json.dumps(direct))
    assert distributions.read(environment.python).distributions["accelerate"].line == line


def test_damaged_metadata_are_left_out(environment: Environment) -> None:
    (environment.site / "broken-1.0.dist-info").mkdir()
    damaged = environment.site / "worse-1.0.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_bytes(b"\xff\xfe\x00")
    (damaged / "RECORD").write_bytes(b'"unclosed')
    assert set(distributions.read(environment.python).versions) >= {"accelerate", "my-package"}
    assert distributions.owners([environment.site])


def test_owners_are_told_without_the_interpreter(environment: Environment) -> None:
    found = distributions.owners([environment.site])
    assert found[str(environment.site / "accelerate" / "__init__.py")] == {"accelerate"}


def test_a_python_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its packages cannot be listed"):
        distributions.read("/bin/false")
    with pytest.raises(UserError, match="No such file"):
        distributions.read(str(tmp_path / "none"))
