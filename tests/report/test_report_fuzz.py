"""For any file content: never a traceback, one line per bad file, and a page without a script."""

from __future__ import annotations

import copy
import json
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import constructed_origin
import constructed_suites
import pytest
from constructed_runs import FILES, places, with_everywhere
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metalassay import report
from metalassay.cli.main import main
from metalassay.report.render import card, ci_summary, html, markdown
from metalassay.results import load

GOOD: list[bytes] = [path.read_bytes() for path in FILES]
DOCUMENTS = [json.loads(content) for content in GOOD]
VERDICTS = next(document for document in reversed(DOCUMENTS) if "bugs" in document)
STATES = constructed_origin.documents()
TIMES = {"bench/test_rows.py::test_sort[10]": constructed_suites.ROUNDS}
SUITES = [
    constructed_suites.assayed(constructed_suites.M4, TIMES, waits_for=None, marks=["x"]),
    constructed_suites.assayed(constructed_suites.M4_PRO, TIMES, waits_for=None, series="a1"),
    constructed_suites.plain(TIMES),
    constructed_suites.plain(TIMES, raw=False, when="2026-11-30T10:00:00+00:00"),
]
ATTACKS = ["<script>alert(1)</script>", "</style><script>x</script>", "\ud800", "\x00\x1b[31m"]
ATTACKS += ["=1+1", "|`*_[x](javascript:y)", "\u202e", "9" * 5000, "W" * 5000, "", " \n\t"]
NUMBERS = [10**400, -(10**400), 10**30, 2**63, 1e308, -1e308, 5e-324, -0.0, -1, 0, 0.5]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
WORDS = """
    html head meta title style body header main footer nav section article aside figure figcaption
    h1 h2 h3 h4 p ul ol li dl dt dd table caption thead tbody tr th td colgroup col div span a b
    strong em i code pre small br hr details summary abbr time label select option
    svg g path rect line circle polyline polygon text tspan title desc defs pattern
    lineargradient clippath use ellipse marker stop
"""
ELEMENTS = frozenset(WORDS.split())


def anything() -> st.SearchStrategy[Any]:
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(st.characters(codec=None), max_size=20)
        | st.sampled_from([*ATTACKS, *NUMBERS])
    )
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    )


EVERYTHING = [*DOCUMENTS, *STATES.values(), *SUITES]
PLACES = [(number, path) for number, each in enumerate(EVERYTHING) for path, _ in places(each)]


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """A good file of which up to three values are others, as JSON can spell them."""
    number, _ = draw(st.sampled_from(PLACES))
    return _edited(draw, EVERYTHING[number])


@st.composite
def edited_suite(draw: st.DrawFn) -> bytes:
    """The same of a file of another project."""
    return _edited(draw, draw(st.sampled_from(SUITES)))


def _edited(draw: st.DrawFn, good: Any) -> bytes:
    document = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([path for path, _ in places(document)]))
        at: Any = document
        for key in path:
            at = at[key]
        at[last] = draw(anything())
    return json.dumps(document).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good file that ends early, or has other bytes somewhere."""
    content = draw(st.sampled_from(GOOD))
    start = draw(st.integers(0, len(content)))
    rest = draw(st.sampled_from([0, 1, 30, len(content)]))
    return content[:start] + draw(st.binary(max_size=12)) + content[start + rest :]


class Page(HTMLParser):
    """Collects elements, and the open ones at the end."""

    VOID = frozenset(("meta", "br", "hr", "col", "link", "img", "input"))

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass  # elements whose end may be left out


def check(contents: list[bytes]) -> load.Loaded:
    """Read the files and render every kind of output; nothing may raise."""
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(contents):
            Path(folder, f"{number}.json").write_bytes(content)
        loaded = load.load([folder])
    built = report.build(loaded)
    assert all(warning == " ".join(warning.split()) for warning in loaded.warnings)
    page = Page()
    page.feed(html.render(built))
    page.close()
    assert page.open == []
    assert page.names <= ELEMENTS, page.names - ELEMENTS
    assert not page.handlers
    markdown.render(built).encode()  # in its blocks of code a tag is text, see test_markdown
    for text in (ci_summary.render(built), card.render(built)):
        text.encode()
        assert "<script" not in text
    return loaded


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


quick = settings(deadline=None, max_examples=15, suppress_health_check=QUIET)


@quick
@given(st.lists(edited(), min_size=1, max_size=6))
def test_no_value_anywhere_in_a_file_breaks_the_report(contents: list[bytes]) -> None:
    check(contents)


@quick
@given(st.lists(damaged() | st.binary(max_size=60), min_size=1, max_size=6))
def test_no_bytes_break_the_report(contents: list[bytes]) -> None:
    loaded = check([*contents, GOOD[0]])
    assert loaded.measured >= 2  # the others are read


@pytest.mark.slow
@settings(quick, max_examples=150)
@given(st.lists(edited() | damaged(), min_size=1, max_size=8))
def test_no_files_break_the_report(contents: list[bytes]) -> None:
    check(contents)


def with_time(spelled: bytes) -> bytes:
    """Return a good file of which the time of one round is another."""
    head, found, rest = GOOD[0].partition(b'"data": [\n     0.2,')
    assert found
    return head + b'"data": [' + spelled + b"," + rest


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: ascii(text[:20]))
def test_an_attack_in_every_text_of_every_file_is_only_text(attack: str) -> None:
    documents = [with_everywhere(each, attack) for each in DOCUMENTS]
    loaded = check([json.dumps(each).encode() for each in documents])
    # A set whose versions are not those it asks for is read with a warning; nothing is left out.
    assert (loaded.measured, len(loaded.compat)) == (7, 4)
    assert all("contradicts itself" in warning for warning in loaded.warnings)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: ascii(text[:20]))
def test_an_attack_in_every_state_of_a_row_is_only_text(attack: str) -> None:
    loaded = check([json.dumps(with_everywhere(each, attack)).encode() for each in STATES.values()])
    # With a text in every selection, all are partial, and one replaces another.
    assert len(loaded.compat) + loaded.older_sets == len(STATES) - 3
    assert len(loaded.unfinished) == 3


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: ascii(text[:20]))
def test_an_attack_in_every_text_of_another_project_is_only_text(attack: str) -> None:
    loaded = check([json.dumps(with_everywhere(each, attack)).encode() for each in SUITES])
    assert loaded.warnings == ()
    assert len(loaded.suites) == 4


@settings(quick, max_examples=40)
@given(st.lists(edited_suite(), min_size=1, max_size=4))
def test_no_value_in_a_file_of_another_project_breaks_the_report(contents: list[bytes]) -> None:
    check([*contents, json.dumps(SUITES[0]).encode()])


DEEP = b"[" * 100_000
BAD = {
    "truncated": GOOD[0][:-40],
    "foreign": b'{"name": "package.json"}',
    "newer": b'{"schema": "metalassay.compat/2"}',
    "not-a-number": with_time(b"NaN"),
    "negative": with_time(b"-0.2"),
    "huge": with_time(b"1e308"),
    "digits": with_time(b"1" * 10_000),
    "deep": DEEP,
    "deep-inside": GOOD[0].replace(b"{}", DEEP, 1),
    "deep-schema": b'{"schema": ' + b"[" * 900 + b"]" * 900 + b"}",
    "not-utf-8": b"\xff\xfe{",
    "duplicate": GOOD[-1],
    "empty": b"",
}


def test_each_bad_file_is_one_warning_and_exit_code_1_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    for number, content in enumerate(GOOD):
        (folder / f"0-{number}.json").write_bytes(content)
    for name, content in BAD.items():
        (folder / f"{name}.json").write_bytes(content)
    with (folder / "200-megabytes.json").open("wb") as stream:
        stream.truncate(200 * 2**20)  # sparse
    expected = {*BAD, "200-megabytes"}
    try:
        (folder / "loop.json").symlink_to(folder / "loop.json")
        (folder / "folder-loop").symlink_to(folder)
        expected.add("loop")
    except OSError:
        pass  # Windows asks for a privilege
    assert main(["report", str(folder), "-o", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    named = [Path(line.removeprefix("warning: ").partition(".json: ")[0]).name for line in lines]
    assert sorted(named) == sorted(expected)
    loaded = load.load([folder])
    assert (loaded.measured, len(loaded.compat)) == (7, 4)


def test_garbage_alone_gives_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"garbage")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "out")]) == 1


def test_an_endless_text_is_cut_before_a_table_is_padded_to_it(tmp_path: Path) -> None:
    document = copy.deepcopy(VERDICTS)
    document["bugs"][0]["why"] = "x" * 3_000_000
    document["bugs"][0]["fixes"] = ["y" * 3_000_000]
    (tmp_path / "x.json").write_text(json.dumps(document), "utf-8")
    built = report.build(load.load([tmp_path]))
    assert len(markdown.render(built)) < 500_000
    assert "(2,980,000 more)" in markdown.render(built)


def test_an_invalid_version_satisfies_no_requirement(tmp_path: Path) -> None:
    document = copy.deepcopy(VERDICTS)
    document["set"]["requires"] = ["torch>=2"]
    document["versions"] = {"python": "3.11.7", "torch": "a bit old"}
    (tmp_path / "x.json").write_text(json.dumps(document), "utf-8")
    (warning,) = load.load([tmp_path]).warnings
    assert "it asks for torch>=2, but torch a bit old was installed" in warning
