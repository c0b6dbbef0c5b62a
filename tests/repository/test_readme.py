"""README.md and docs/compatibility.md show what the kept evidence says, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import constructed_origin
import pytest

from metalassay.results import load, smoke_file
from metalassay.results.verdict_file import Origin

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "tools/readme_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_the_evidence_and_the_output_of_commands(tables: ModuleType) -> None:
    text = tables.README.read_text("utf-8")
    assert tables.readme(text) == text, "run: python tools/readme_tables.py"


def test_ci_runs_the_commands_of_the_readme_as_they_stand_there() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    begin = (ROOT / "README.md").read_text("utf-8").partition("## Set up")[2]
    blocks = re.findall(r"```console\n(.*?)```", begin, re.DOTALL)[:2]
    first, second = blocks[0].splitlines()
    # Each is a check of its own there, so that the others run after one that failed.
    checks = [line.removeprefix("check ") for line in script if line.startswith("check ")]
    install, _, nox = first.rpartition(" && ")
    assert f"{install} || exit 1" in script
    assert {nox, second} <= set(checks)
    assert blocks[1].startswith("uvx --with uv nox\n")
    assert any(line.startswith(".venv/bin/uvx --with uv nox ") for line in checks)


def test_the_page_of_all_tables_is_generated_from_the_evidence(tables: ModuleType) -> None:
    text = tables.PAGE.read_text("utf-8")
    assert tables.page(text) == text, "run: python tools/readme_tables.py"


def test_the_table_of_fixed_environments_is_that_of_the_evidence(tables: ModuleType) -> None:
    text = tables.FIX_PAGE.read_text("utf-8")
    assert tables.fix_page(text) == text, "python tools/readme_tables.py"


def test_the_score_of_the_executed_pairs_is_that_of_their_results(tables: ModuleType) -> None:
    text = tables.LINK_PAGE.read_text("utf-8")
    assert tables.link_page(text) == text, "run: python tools/readme_tables.py"


def test_the_sets_that_are_shipped_are_those_of_the_evidence(tables: ModuleType) -> None:
    text = tables.RECORDED.read_text("utf-8")
    assert tables.recorded(tables.fresh_sets()) == text, "run: python tools/readme_tables.py"


def smoke(row: str, **more: Any) -> dict[str, Any]:
    """Return the file of a smoke test that pins a package, with the stages given."""
    _, package, version = row.split("-")
    versions = {"python": "3.11.7", "accelerate": "1.15.0", "transformers": "5.24.0"}
    return smoke_file.document(
        {"id": row, "requires": [f"{package}=={version}", "datasets"]},
        command="c",
        started=datetime(2026, 11, 28, tzinfo=UTC),
        seconds=1.0,
        versions={**versions, package: version},
        hardware={"system": "Linux", "release": "6", "machine": "x86_64"},
        origin=Origin(),
        **more,
    )


def test_a_fresh_install_is_a_line_and_each_break_is_named_once_with_its_beginning(
    tables: ModuleType, tmp_path: Path
) -> None:
    dpo = (
        "ImportError: cannot import name 'MODEL_FOR_VISION_2_SEQ_MAPPING_NAMES' from"
        " 'transformers.models.auto.modeling_auto'"
    )
    known = {"status": "failed", "error": dpo}
    new = {"status": "crashed", "error": "the process was ended by SIGSEGV"}
    passed, absent = {"status": "passed"}, {"status": "absent"}
    documents = [
        smoke("fresh-trl-0.21.0", stages={"import trl": passed, "DPOTrainer": known}),
        smoke("fresh-trl-0.22.2", stages={"import trl": passed, "DPOTrainer": known}),
        smoke("fresh-trl-1.16.0", stages={"import trl": passed, "DPOTrainer": absent}),
        smoke("fresh-peft-0.21.2", stages={"import trl": absent, "LoRA": new}),
        smoke("fresh-peft-0.20.0", not_installable="a needs b<1"),
    ]
    for number, document in enumerate(documents):
        smoke_file.write(tmp_path / f"{number}.json", document)
    sets = [smoke_file.load(tmp_path / f"{number}.json") for number in range(len(documents))]
    lines = [re.sub(" +", " ", line) for line in tables.fresh(sets).splitlines()]
    assert "5 sets, in 4 of which something breaks." in lines[0]
    assert "| 0.21.0 | 1.15.0 | 5.24.0 | works | **breaks** (1) |" in lines
    assert "| 1.16.0 | 1.15.0 | 5.24.0 | works | · |" in lines
    assert "| 0.21.2 | 1.15.0 | 5.24.0 | **breaks** (2) |" in lines
    assert "| 0.20.0 | 1.15.0 | 5.24.0 | **not installable** (3) |" in lines
    assert lines[-3].startswith("1. [`dpotrainer-vision-2-seq-transformers5`](")
    assert lines[-3].endswith("Since transformers 5.0.0 (2 sets)")
    assert lines[-2] == (
        "2. no known bug: LoRA: `the process was ended by SIGSEGV`. Since when was not determined (1 set)"
    )
    assert lines[-1].startswith("3. no known bug: a needs b<1. Since when was not determined")


def test_new_smoke_tests_replace_their_own_kind_of_evidence_only(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("compat/a-whole.json", "fresh/fresh-trl-0.20.0.json", "benchmarks/run-1.json"):
        (tmp_path / "evidence" / kept).parent.mkdir(parents=True)
        (tmp_path / "evidence" / kept).write_text("{}")
    new = tmp_path / "reports" / "compat" / "fresh-trl-0.21.0.json"
    new.parent.mkdir(parents=True)
    smoke_file.write(new, smoke("fresh-trl-0.21.0", stages={"import trl": {"status": "passed"}}))
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "EVIDENCE", tmp_path / "evidence")
    tables.keep()
    left = {str(path.relative_to(tmp_path / "evidence")) for path in tmp_path.rglob("evidence/*/*")}
    assert left == {"compat/a-whole.json", "fresh/fresh-trl-0.21.0.json", "benchmarks/run-1.json"}


def test_a_cell_that_somebody_edited_is_written_again(tables: ModuleType) -> None:
    text = tables.PAGE.read_text("utf-8")
    edited = text.replace("| patched", "| fine   ", 1)
    assert edited != text
    assert tables.page(edited) == text


def test_the_page_names_what_was_not_pinned_and_what_failed_without_a_known_bug(
    tables: ModuleType, tmp_path: Path
) -> None:
    files = constructed_origin.documents()
    loaded = load.load([constructed_origin.write(tmp_path, files)])
    sets = {one.id: one for one in loaded.compat}
    text = tables.bounds([sets["a-whole"], sets["h-newest"], sets["f-old-data"]])
    rows = {
        row[1]: row[2:-1]
        for row in (re.split(r" *\| *", line) for line in text.splitlines()[2:])
        if row[1:]
    }
    assert rows["accelerate"] == ["1.8.0", "*1.15.0*", "1.8.0"]
    assert rows["tokenizers"] == ["·", "*0.23.3*", "·"]
    assert rows["recorded (UTC)"] == ["2026-11-28", "2026-11-28", "2026-11-19"]
    assert rows["metalassay"] == ["5b1ce00fedcb", "5b1ce00fedcb", "0ddc0de0ddc0+"]
    assert rows["lib-part"] == ["broken (partial)", "·", "·"]
    assert rows["tests without a known bug"] == ["·", "**RED**", "·"]
    assert "; 7 cells, 1 of them red:" in text
    assert "- 1 of 3 columns was judged with another revision of the bug data" in text
    readme = tables.famous([sets["h-newest"]])
    assert "| *1.15.0*     | *5.23.0*       | *2.15.0* |" in readme


def test_evidence_is_not_kept_from_a_row_whose_last_run_did_not_finish(
    tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = constructed_origin.documents()
    names = ("b-last-failed.json", "b-last-failed.unfinished")
    constructed_origin.write(tmp_path / "reports/compat", {name: files[name] for name in names})
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "EVIDENCE", tmp_path / "evidence")
    with pytest.raises(SystemExit, match="the last run of b-last-failed did not finish"):
        tables.keep()
    assert not (tmp_path / "evidence").exists()


def test_the_readme_is_short_and_no_line_of_its_code_is_wide() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 250
    blocks = "\n".join(lines).split("```")[1::2]
    assert [line for block in blocks for line in block.splitlines() if len(line) > 110] == []


def test_the_evidence_contains_no_path_of_the_machine_that_recorded_it(tables: ModuleType) -> None:
    for path in tables.EVIDENCE.rglob("*.json"):
        text = path.read_text("utf-8")
        assert "/home/" not in text, path
        assert "/Users/" not in text, path
        assert "pytest-of-" not in text, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    dead = [target for target in targets if "://" not in target and not leads(page, target)]
    assert dead == []


def leads(page: Path, target: str) -> bool:
    """Return whether a relative link, with or without an anchor, has something at its end."""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return False
    return not anchor or f'id="{anchor}"' in file.read_text("utf-8") or anchor in anchors(file)


def anchors(page: Path) -> set[str]:
    """Return the anchors that a site makes of the headings of a page."""
    headings = HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n")
    assert leads(page, "#a-title")
    assert not leads(page, "#another")
    assert not leads(page, "missing.md")
