"""What an environment has, asked of its own Python, and read without it."""

from __future__ import annotations

from pathlib import Path

import fix_environment
import pytest

from metalassay.errors import UserError
from metalassay.fix import distributions
from metalassay.fix.distributions import Distribution, Installed


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Return an empty environment."""
    fix_environment.make(tmp_path / "environment")
    return tmp_path / "environment"


def read(prefix: Path) -> Installed:
    """Ask the environment."""
    return distributions.read(str(prefix / "bin" / "python"))


def test_an_environment_tells_its_packages_and_folders(prefix: Path) -> None:
    fix_environment.install(prefix, "Some_.package", "1.0", {"some.py": ""}, requires=["other>2"])
    found = read(prefix)
    site = fix_environment.site(prefix)
    assert found.prefix == prefix
    assert found.folders == (site, prefix / "bin")
    (one,) = found.distributions.values()
    assert (one.name, one.version, one.requires) == ("some-package", "1.0", ("other>2",))
    assert (one.installer, one.folder) == ("pip", str(site))
    assert str(site / "some.py") in one.files


@pytest.mark.parametrize(
    ("direct", "line"),
    [
        (None, "mine==1"),
        ({"url": "file:///a", "dir_info": {"editable": True}}, "-e file:///a"),
        ({"url": "https://x/mine-1.whl"}, "mine @ https://x/mine-1.whl"),
        ({"no": "url"}, "mine==1"),
        ({"url": "file:///a", "dir_info": 3}, "mine==1"),
    ],
)
def test_the_origin_of_a_package_is_in_its_line(
    direct: dict[str, object] | None, line: str, prefix: Path
) -> None:
    fix_environment.install(prefix, "mine", "1", direct=direct)
    assert read(prefix).lines == (line,)


def test_what_an_interrupted_install_left_is_no_package(prefix: Path) -> None:
    fix_environment.install(prefix, "whole", "1")
    site = fix_environment.site(prefix)
    (site / "half-1.dist-info").mkdir()
    (site / "empty-1.dist-info").mkdir()
    (site / "empty-1.dist-info" / "METADATA").write_text("")
    fix_environment.install(prefix, "damaged", "1")
    (site / "damaged-1.dist-info" / "RECORD").write_bytes(b"a,sha256=x,many\n\xff\n")
    assert set(read(prefix).distributions) == {"whole", "damaged"}
    owners = distributions.owners([site])
    assert owners[str(site / "whole" / "__init__.py")] == {"whole"}
    assert not any("damaged" in names for names in owners.values())


def test_pythonpath_is_no_part_of_an_environment(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix_environment.make(tmp_path / "other")
    fix_environment.install(tmp_path / "other", "foreign", "1")
    monkeypatch.setenv("PYTHONPATH", str(fix_environment.site(tmp_path / "other")))
    assert read(prefix).distributions == {}


def test_a_python_that_does_not_start_is_an_error_of_one_line(prefix: Path) -> None:
    fix_environment.interpreter_that_dies(prefix)
    with pytest.raises(UserError, match="its packages cannot be listed") as caught:
        read(prefix)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400
    assert distributions.read_or_none(str(prefix / "none")) is None


def test_requirements_that_are_not_met_are_told() -> None:
    def one(name: str, version: str, *requires: str) -> Distribution:
        return Distribution(name, version, requires, "", "pip", "", ())

    every = (
        one("a", "1", "b>=2", "c", "d; extra == 'x'", "e; python_version < '3'", "f", "???"),
        one("b", "1", "a==9"),
        one("f", "2.0.dev1", 'b<1; sys_platform == "none"'),
    )
    installed = Installed(Path(), "3.11.7", (), {each.name: each for each in every})
    assert installed.conflicts() == {"a 1 requires b>=2", "a 1 requires c", "b 1 requires a==9"}
    # Of another version of b nothing is known, of what requires b all.
    assert installed.conflicts({"a": "1", "b": "2", "f": "2.0.dev1"}) == {"a 1 requires c"}
