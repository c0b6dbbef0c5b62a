"""matrix.toml: its rows cover the known bugs, and a file that cannot be read gives one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from metalassay import bugs
from metalassay.environment import versions
from metalassay.errors import UserError
from metalassay.matrix import matrix_file
from metalassay.matrix.matrix_file import Row

ROOT = Path(__file__).parents[2]
MATRIX = matrix_file.load(ROOT)
ROWS = {name: row for name, row in MATRIX.rows.items() if row.runs == matrix_file.COMPAT}
FRESH = {name: row for name, row in MATRIX.rows.items() if row.runs == matrix_file.SMOKE}
# Bugs without rows on both sides, and why.
OUTSIDE_THE_MATRIX = {
    "transformers4-needs-hub-below-1": "no resolver installs the affected pair: row guide-3-today",
    "transformers-4-12-builds-tokenizers": "it does not install, which row fresh-trl-0.12.2 records",
}
TAGS = {"quick", "quick-mps", "boundary", "edge", "guide", "newest", "full"}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_names_its_packages_and_known_tags(row: Row) -> None:
    requirements = [Requirement(text) for text in row.requires]
    assert {"accelerate", "torch"} <= {requirement.name for requirement in requirements}
    assert set(row.tags) <= TAGS
    assert ("full" in row.tags) is not bool(row.needs)  # every machine can run the full rows


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_names_known_bugs_only(row: Row) -> None:
    assert set(row.bugs) <= {bug.id for bug in bugs.load()}


@pytest.mark.parametrize("row", FRESH.values(), ids=FRESH)
def test_a_fresh_row_pins_one_package_and_lets_the_others_float(row: Row) -> None:
    first, *others = map(Requirement, row.requires)
    assert row.id == f"fresh-{first.name}-{str(first.specifier).removeprefix('==')}"
    assert not any(other.specifier for other in others)
    assert row.tags == ("fresh",)


def test_fresh_rows_have_the_newest_patch_of_each_minor() -> None:
    minors = [
        (next(iter(pins(row))), Version(next(iter(pins(row).values()))).release[:2])
        for row in FRESH.values()
    ]
    assert len(set(minors)) == len(minors)
    assert {package for package, _ in minors} == {"accelerate", "peft", "transformers", "trl"}


def test_the_row_guide_is_exactly_the_environment_of_the_guide() -> None:
    guide = ROWS["guide"]
    assert guide.pythons == ("3.11",)
    assert guide.requires == ("accelerate==1.8.0", "torch==2.5.1", "transformers==4.52.4")


def test_the_quick_rows_are_on_both_sides_of_the_fix() -> None:
    quick = {row_id for row_id, row in ROWS.items() if "quick" in row.tags}
    assert quick == {f"accelerate-{v}" for v in ("1.1.1", "1.8.0", "1.8.1", "1.9.0", "1.15.0")}


@pytest.mark.parametrize(
    ("system", "processor", "runs"),
    [("Darwin", "arm64", True), ("Darwin", "x86_64", False), ("Linux", "arm64", False)],
)
def test_only_a_mac_with_apple_silicon_runs_the_row_of_mps(
    monkeypatch: pytest.MonkeyPatch, system: str, processor: str, runs: bool
) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: processor)
    default = [row.id for row in MATRIX.by_default()]
    assert default[-1:] == ["mps"] if runs else "mps" not in default
    assert len(default) == 5 + runs
    why = matrix_file.why_not_here(MATRIX.rows["mps"])
    assert (why == "") is runs
    assert runs or why.endswith(f"this is {system} {processor}")


def test_a_row_runs_the_tests_of_its_tags() -> None:
    marks = {row.id: matrix_file.marks(row.tags) for row in ROWS.values()}
    assert marks["accelerate-1.8.0"] == "not slow"
    assert marks["mps"] == "mps and not long"
    assert marks["boundary-1.8.0"] == ""


def pins(row: Row) -> dict[str, str]:
    """Return the versions that a row pins, by package."""
    return {
        requirement.name: specifier.version
        for requirement in map(Requirement, row.requires)
        for specifier in requirement.specifier
        if specifier.operator == "=="
    }


@pytest.mark.parametrize("bug", bugs.load(), ids=lambda bug: bug.id)
def test_the_boundary_rows_are_on_both_sides_of_every_bug(bug: bugs.Bug) -> None:
    if bug.id in OUTSIDE_THE_MATRIX:
        pytest.skip(OUTSIDE_THE_MATRIX[bug.id])
    if versions.MACOS in bug.packages:
        pytest.skip("shows on a Mac only, and no row of the matrix can install one")
    rows = [pins(row) for row in ROWS.values() if {"boundary", "guide"} & set(row.tags)]
    packages = set().union(*bug.where) - {"python"}
    relevant = [row for row in rows if packages <= row.keys()]
    assert any(bug.hits(row) for row in relevant), "no boundary row is affected"
    newest = dict.fromkeys(packages, "999")
    if not bug.hits(newest):
        assert any(not bug.hits(row) for row in relevant), "no boundary row is healthy"


def test_every_table_has_its_requirements() -> None:
    assert {"bench", "tests", "emulated", "bisect", "upstream"} <= MATRIX.requires.keys()
    assert MATRIX.requires["bench"] == ("torch==2.13.0",)


def test_every_row_has_pythons_on_which_the_matrix_was_run() -> None:
    """``nox -s resolve`` shows that they have wheels; the rows python-3.12 and python-3.13 run on them."""
    run = {row.pythons for row in MATRIX.rows.values() if len(row.pythons) == 1}
    assert run == {("3.11",), ("3.12",), ("3.13",)}
    assert {row.pythons for row in MATRIX.by_default()} == {("3.11", "3.12", "3.13")}
    assert MATRIX.pythons["bench"] == ("3.11", "3.12", "3.13", "3.14")


def test_the_upstream_rows_are_accelerate_releases_and_left_out_tests_have_a_reason() -> None:
    assert MATRIX.upstream.rows["1.8.0"] == ("accelerate==1.8.0",)
    assert all(test.startswith("tests/") for test in MATRIX.upstream.tests)
    assert all(test["test"] and test["reason"] for test in MATRIX.upstream.left_out)


def test_without_an_id_the_row_is_the_present_environment() -> None:
    assert matrix_file.get(ROOT, None).record() == {
        "id": "as installed",
        "python": None,
        "requires": [],
        "reason": "the present environment, which is not a row of the matrix",
        "tags": [],
    }


def test_an_unknown_row_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"matrix.toml has no row 'nonsense' \(list the rows"):
        matrix_file.get(ROOT, "nonsense")


WITHOUT_PYTHON = '[[row]]\nid = "x"\nrequires = ["torch"]\nreason = "r"\ntags = ["full"]\n'
ROW = WITHOUT_PYTHON + 'python = "3.12"\n'
BUG = bugs.load()[0].id
UPSTREAM = "[upstream]\nrequires = []\ntests = []\nleft_out = []\nrow = []\n"


FRESH_TABLE = """
[[fresh]]
package = "a"
with = ["b", "c"]
python = "3.11"
versions = ["1", "2.5"]
"""


def test_a_fresh_table_expands_to_a_row_for_each_version(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_text(ROW + FRESH_TABLE)
    rows = matrix_file.load(tmp_path).rows
    assert list(rows) == ["x", "fresh-a-1", "fresh-a-2.5"]
    row = rows["fresh-a-2.5"]
    assert row.requires == ("a==2.5", "b", "c")
    assert (row.pythons, row.tags, row.runs) == (("3.11",), ("fresh",), "smoke")
    assert row.record()["runs"] == "smoke"


def test_a_row_has_the_fields_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_text(ROW + f'bugs = ["{BUG}"]\n')
    assert matrix_file.get(tmp_path, "x") == Row("x", ("torch",), "r", ("full",), ("3.12",), (BUG,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"matrix\.toml is missing \(run this in a checkout"),
        ("[[row]\n", r"matrix\.toml is not TOML: .*line 1"),
        ("", r"matrix\.toml: row is missing"),
        (ROW.replace('id = "x"\n', ""), r"matrix\.toml: row\[0\]\.id is missing \(fix the row"),
        (ROW + 'pyhton = "3.11"\n', r"row\[0\]: unknown key 'pyhton'; a row has bugs, id"),
        (ROW + 'installs = "no"\n', r"row\[0\]\.installs: expected true or false"),
        (ROW.replace('"x"', '"../x"'), r"row\[0\]: the id '\.\./x' has another character"),
        (ROW.replace('"x"', '"-x"'), r"row\[0\]: the id '-x' has another character"),
        (
            ROW.replace('"x"', '"x.a"') + ROW.replace('"x"', '"X-a"'),
            r"row\[1\]: the id 'X-a' is another row's but for",
        ),
        (ROW + ROW, r"row\[1\]: two rows have the id 'x'"),
        (ROW.replace("torch", "torch=2"), r"row\[0\].requires\[0\]: 'torch=2' is not a requirem"),
        (ROW.replace("torch", "torch==2,==3"), r"'torch==2,==3' asks for two versions at once"),
        (ROW.replace('["torch"]', '"torch"'), r"row\[0\]\.requires: expected a list"),
        (ROW + "[bench]\n", r"bench\.requires is missing"),
        (
            WITHOUT_PYTHON,
            r"row\[0\]: row x names no Python with wheels for its pins, as in python = ",
        ),
        (WITHOUT_PYTHON + "python = []\n", r"row\[0\]\.python: row x names no Python"),
        (WITHOUT_PYTHON + "python = 3.11\n", r"row\[0\]\.python: expected .*text"),
        (
            WITHOUT_PYTHON + 'python = "3"\n',
            r"row\[0\]\.python: '3' is not a version of Python such",
        ),
        (
            WITHOUT_PYTHON + 'python = ["3.11", "3.x"]\n',
            r"row\[0\]\.python: '3\.x' is not a version",
        ),
        (
            ROW + FRESH_TABLE.replace('python = "3.11"\n', ""),
            r"fresh\[0\]: the fresh table of a names no Python with wheels",
        ),
        (ROW + 'runs = "all"\n', r"row\[0\]\.runs: expected one of 'compat', 'smoke'"),
        (ROW + 'bugs = ["b"]\n', r"row\[0\]\.bugs\[0\]: expected the id of a known bug.*row x"),
        (ROW.replace('["torch"]', "[]"), r"row\[0\]\.requires: expected a requirement or more"),
        (ROW.replace("torch", "-r a/b"), r"requires\[0\]: '-r a/b' is not a requirement"),
        (ROW.replace("torch", "torch==1..2"), r"requires\[0\]: .* is not a requirement"),
        (ROW.replace("torch", f"torch=={'1' * 5000}"), r"requires\[0\]: .* is no version"),
        (ROW.replace("torch", f"torch; {'(' * 5000}"), r"requires\[0\]: .* is not a requirement"),
        (ROW.replace("3.12", "3.\u0661\u0662"), r"row\[0\]\.python: .* is not a version of Python"),
        (ROW.replace('"x"', f'"{"x" * 101}"'), r"row\[0\]: the id .* more than 100 characters"),
        (ROW + "[a]\nrequires = []\nfoo = 1\n", r"a: unknown key 'foo'"),
        ("a = 1\n" + ROW, r"matrix\.toml: a: expected the table of a nox session"),
        (ROW + FRESH_TABLE.replace('["1", "2.5"]', "[]"), r"fresh\[0\]\.versions: expected a ver"),
        (ROW + FRESH_TABLE.replace("2.5", "2.x"), r"fresh\[0\]\.versions\[1\]: expected a version"),
        (ROW + FRESH_TABLE.replace('"a"', '"a b"'), r"fresh\[0\]\.package: expected the name"),
        (
            ROW + UPSTREAM.replace("left_out = []", 'left_out = [{test = "a"}]'),
            r"upstream\.left_out\[0\]\.reason is missing",
        ),
        (
            ROW
            + UPSTREAM.replace(
                "row = []", "row = [{id = '1', requires = []}, {id = '1', requires = []}]"
            ),
            r"upstream\.row: two rows have the id '1'",
        ),
        (f"{'a.' * 100_000}a = 1", r"matrix\.toml: its TOML is nested too deeply"),
        (f"a = {'[' * 200_000}", r"matrix\.toml: its TOML is nested too deeply"),
        (ROW + "[[fresh]]\npackage = 'a'\n", r"fresh\[0\]\.with is missing"),
        (ROW + "[[fresh]]\ntags = ['a']\n", r"fresh\[0\]: unknown key 'tags'; a fresh table has"),
        (ROW.replace('"x"', '"fresh-a-1"') + FRESH_TABLE, r"fresh\[0\]: two rows have the id"),
    ],
)
def test_a_file_that_cannot_be_read_is_the_users_error(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "matrix.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        matrix_file.load(tmp_path)


def test_a_row_may_need_what_a_worker_offers(tmp_path: Path) -> None:
    row = ROW
    (tmp_path / "matrix.toml").write_text(f'{row}needs = ["mps", "m4pro"]\n')
    assert matrix_file.load(tmp_path).rows["x"].needs == ("mps", "m4pro")
    assert "needs" not in matrix_file.load(tmp_path).rows["x"].record()
    assert "runs" not in matrix_file.load(tmp_path).rows["x"].record()
    for wrong in ('["mps=1"]', '["two words"]', '[""]', "[1]", '"mps"'):
        (tmp_path / "matrix.toml").write_text(f"{row}needs = {wrong}\n")
        with pytest.raises(UserError, match="needs"):
            matrix_file.load(tmp_path)


def test_a_folder_or_bytes_in_place_of_the_file_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"matrix\.toml is not text in UTF-8"):
        matrix_file.load(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(UserError, match=r"cannot read .*matrix\.toml: Is a directory"):
        matrix_file.load(tmp_path)


def test_a_session_that_nox_has_needs_its_table(tmp_path: Path) -> None:
    (tmp_path / "matrix.toml").write_text(ROW + '[bench]\nrequires = ["torch"]\n')
    assert matrix_file.load(tmp_path, ("bench",)).requires["bench"] == ("torch",)
    with pytest.raises(UserError, match=r"matrix\.toml: tests is missing"):
        matrix_file.load(tmp_path, ("bench", "tests"))
