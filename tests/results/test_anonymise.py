"""A copy to send: nothing in it identifies a person or a device, and its results are the same."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import constructed_origin
import pytest
from constructed_runs import DATA

from metalassay.cli.main import main
from metalassay.fields import FieldError
from metalassay.results import anonymise
from metalassay.results.parse import LargestBatch, Measurement, VersionSet, parse

BENCHMARKS = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))
COMPAT = json.loads((DATA / "constructed_compat_patched.json").read_text("utf-8"))
NAMES = [("host name", "janes-mini.local"), ("user name", "jdoe"), ("full name", "Jane Q. Doe")]


def edited(document: Any, edit: Callable[[Any], object]) -> bytes:
    copy = json.loads(json.dumps(document))
    edit(copy)
    return json.dumps(copy).encode()


def evidence(text: str) -> bytes:
    return edited(COMPAT, lambda d: d["bugs"][0]["tests"][0].update(evidence=text))


def stripped_evidence(text: str) -> str:
    copy = json.loads(anonymise.strip(evidence(text), NAMES).text)
    return str(copy["bugs"][0]["tests"][0]["evidence"])


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ('File "/Users/jane/proj/x.py", line 3', "File \u2026 line 3"),
        ("RuntimeError: no file in /home/jane and on", "RuntimeError: no file in \u2026 and on"),
        ("expected torch at C:\\Users\\Jane Doe\\x.py", "expected torch at \u2026"),
        ("on JANES-MINI.local now", "on \u2026 now"),
        ("the version of jdoe, by Jane Q. Doe", "the version of \u2026 by \u2026"),
        ("from 192.168.178.20:8080, 10.0.0.1.", "from \u2026"),
        # what is ours
        ("torch==2.13.0 and nvidia-cublas==13.4.1.3, 1.2.3", None),
        ("TypeError: Can only find the batch size of tensors but got <class 'NoneType'>.", None),
        ("needs MPS, which only macOS has; this is Linux", None),
        ("masked by accelerate-empty-shard, which fails first", None),
        ("", None),
    ],
)
def test_of_free_text_only_words_of_ours_are_kept(text: str, copy: str | None) -> None:
    assert stripped_evidence(text) == (text if copy is None else copy)


def test_fields_that_metalassay_does_not_write_are_left_out() -> None:
    def personal(document: Any) -> None:
        document["machine_info"]["node"] = "studio-of-eve"
        document["machine_info"]["serial_number"] = "C02XL0GYJGH5"
        document["machine_info"]["cpu"] = {"evelyn": "/Users/evelyn/x"}
        document["commit_info"] = {"id": "unknown", "branch": "evelyn/x", "project": "secret"}
        document["note"] = {"deep": [{"who": "evelyn on Studio-of-Eve"}]}

    stripped = anonymise.strip(edited(BENCHMARKS, personal))
    for secret in ("evelyn", "studio-of-eve", "C02XL0GYJGH5", "secret"):
        assert secret.lower() not in stripped.text.lower()
    places = {place for place, _ in stripped.removed}
    assert {"machine_info.node", "commit_info.branch", "note"} <= places
    # what is printed must not contain what was removed
    assert "evelyn" not in str(stripped.removed)


def test_the_copy_has_the_same_results() -> None:
    before, after = (
        parse(content, "x.json")
        for content in (
            json.dumps(BENCHMARKS).encode(),
            anonymise.strip(json.dumps(BENCHMARKS).encode(), NAMES).text.encode(),
        )
    )
    assert before == after
    assert isinstance(before, tuple)
    assert isinstance(before[0], Measurement)
    after = parse(anonymise.strip(json.dumps(COMPAT).encode(), NAMES).text.encode(), "x.json")
    assert isinstance(after, VersionSet)
    assert [bug.verdict for bug in after.bugs] == ["patched", "not tested"]


def test_a_failure_without_a_known_bug_and_a_selection_lose_their_paths() -> None:
    document = constructed_origin.documents()["h-newest.json"]
    document["other_failures"][0]["evidence"] = 'File "/Users/evelyn/x.py", line 3'
    document["selection"]["arguments"] = ["/Users/evelyn/compat"]
    text = anonymise.strip(json.dumps(document).encode(), NAMES).text
    assert "evelyn" not in text
    copy = parse(text.encode(), "x.json")
    assert isinstance(copy, VersionSet)
    assert [one.outcome for one in copy.other_failures] == ["failed", "crashed"]


def test_the_mark_of_a_run_that_did_not_finish_is_no_result() -> None:
    mark = constructed_origin.mark("x", "2026-11-28T10:03:07+00:00", "interrupted")
    with pytest.raises(FieldError, match="no measurement and no verdict"):
        anonymise.strip(json.dumps(mark).encode(), NAMES)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("workload", "of-evelyn"),
        ("identity", "ast1-of-evelyn"),
        ("malloc", "evelyn"),
    ],
)
def test_a_word_that_decides_what_figures_mean_is_refused_where_it_is_unknown(
    place: str, value: str
) -> None:
    with pytest.raises(FieldError, match=rf"benchmarks\[0\].extra_info.{place}: not a value that"):
        anonymise.strip(
            edited(BENCHMARKS, lambda d: d["benchmarks"][0]["extra_info"].update({place: value}))
        )


def test_a_name_that_is_an_ordinary_word_is_removed_from_free_text() -> None:
    assert "batch" in stripped_evidence("expected a batch of tensors")
    copy = anonymise.strip(evidence("expected a batch of tensors"), [("user name", "batch")])
    assert (
        "expected a \u2026 of tensors" in json.loads(copy.text)["bugs"][0]["tests"][0]["evidence"]
    )


@pytest.mark.parametrize("name", ["mps", "train", "root", "runner", "m4", "2026", ""])
def test_a_name_that_everybody_has_is_not_removed(name: str) -> None:
    text = "train on mps of a m4 in 2026"
    copy = anonymise.strip(evidence(text), [("user name", name)])
    assert json.loads(copy.text)["bugs"][0]["tests"][0]["evidence"] == stripped_evidence(text)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"{}", "neither a metalassay verdict file nor a benchmark run"),
        (b'{"schema": "metalassay.upstream/1"}', "contains no measurement and no verdict"),
        (edited(BENCHMARKS, lambda d: d.update(benchmarks=[])), "contains no measurement"),
        (edited(COMPAT, lambda d: d["bugs"][0].update(verdict="fine")), "contradicts itself"),
    ],
)
def test_a_file_that_is_not_a_result_is_refused_and_nothing_is_written(
    content: bytes,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_bytes(content)
    (tmp_path / "good.json").write_text(json.dumps(BENCHMARKS), "utf-8")
    assert main(["submit", "good.json", "bad.json"]) == 2
    assert why in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json", "good.json"]


def test_what_is_deep_in_a_field_that_nobody_knows_is_not_looked_at() -> None:
    deep = json.dumps(BENCHMARKS).encode()[:-1] + b', "x": ' + b"[" * 90 + b"]" * 90 + b"}"
    assert "x" not in json.loads(anonymise.strip(deep).text)


@pytest.mark.parametrize("number", ["NaN", "1e999", "9" * 60])
def test_a_number_that_is_none_becomes_null(number: str) -> None:
    text = json.dumps(edited_document(BENCHMARKS, load=-7.5)).replace("-7.5", number)
    copy = json.loads(anonymise.strip(text.encode()).text)
    assert copy["metalassay"]["conditions"] == {"before": {"load": None}}


def edited_document(document: Any, load: float) -> Any:
    copy = json.loads(json.dumps(document))
    copy["metalassay"]["conditions"] = {"before": {"load": load}}
    return copy


def test_the_command_writes_copies_and_reports_what_it_removed_and_where_to_send_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "studio-of-eve.local")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "run.json"
    path.write_bytes(evidence("expected a batch on studio-of-eve in /Users/eve/x"))
    before = path.read_bytes()
    assert main(["submit", "in/run.json"]) == 0
    printed = capsys.readouterr().out
    assert (
        "kept, as text: bugs[0].tests[0].evidence: expected a batch on \u2026 in \u2026\n"
        in printed
    )
    assert "removed: bugs[].tests[].evidence: words that are not metalassay's\n" in printed
    assert re.search(r"kept: [^:]*\d+ numbers", printed)
    assert "Nothing was sent" in printed
    assert "attach it to an issue" in printed
    assert "eve" not in (tmp_path / "run.submit.json").read_text("utf-8").replace("evence", "")
    assert path.read_bytes() == before
    # nothing is left to remove in a submitted copy
    assert main(["submit", "run.submit.json", "-o", "again.json"]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "run.submit.json").read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a/x.json", "b/x.json"],
        ["a/x.json", "b/x.json", "-o", "one.json"],
        ["a/x.json", "-o", "a/x.json"],
        ["a"],
        ["nowhere.json"],
    ],
)
def test_a_copy_never_replaces_a_named_file_or_another_copy(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text(json.dumps(BENCHMARKS), "utf-8")
    assert main(["submit", *arguments]) == 2
    assert capsys.readouterr().err.startswith("metalassay: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a" / "x.json").read_text("utf-8") == json.dumps(BENCHMARKS)


def test_a_search_for_the_largest_batch_is_stripped_and_keeps_its_result() -> None:
    tries = [{"batch": 1, "fits": False, "peak_rss": None, "why": "killed by /Users/jane/x"}]
    document = {
        "schema": "metalassay.maxbatch/1",
        "workload": "transit-cnn",
        "mode": "train",
        "device": "mps",
        "dtype": "float32",
        "threads": 1,
        "malloc": "default",
        "emulated": False,
        "tries": tries,
        "seconds": 1.0,
        "started": "2026-11-21T13:00:00+00:00",
        "versions": {"torch": "2.13.0"},
        "hardware": BENCHMARKS["machine_info"]["hardware"],
    }
    copy = anonymise.strip(json.dumps(document).encode(), NAMES).text
    assert "jane" not in copy
    found = parse(copy.encode(), "x.json")
    assert isinstance(found, LargestBatch)
    assert (found.limit, found.why) == (1, "killed by \u2026")
