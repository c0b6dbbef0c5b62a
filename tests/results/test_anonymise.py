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
from constructed_runs import DATA, places

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
        ('File "/Users/jane/proj/x.py", line 3', 'File "[path]", line 3'),
        ('File "/Users/Jane Doe/a b/x.py", line 3', 'File "[path]", line 3'),
        ("in /home/jane and on", "in [path] and on"),
        ("C:\\Users\\Jane Doe\\x.py: no", "[path]: no"),
        ("at \\\\server\\share\\x", "at [path]"),
        ("torch @ file:///Users/jane/w.whl", "torch @ [path]"),
        ("~/proj/x.py:3: Error", "[path]:3: Error"),
        ("--cov=/opt/x/y", "--cov=[path]"),
        ("PATH:/usr/local/bin", "PATH:[path]"),
        ("/private/var/folders/ab/T/x.json", "[path]"),
        ("on JANES-MINI.local now", "on [host name] now"),
        ("on janes-mini now", "on [host name] now"),
        ("by jdoe, by Jane Q. Doe", "by [user name], by [full name]"),
        ("mail jane@example.org", "mail [e-mail address]"),
        ("Serial Number (system): C02XL0GYJGH5", "[serial number]"),
        ('"serial": "C02XL0GYJGH5"', '"[serial number]"'),
        ("en0 a4:83:e7:01:02:03", "en0 [network address]"),
        ("4C4C4544-0047-4A10-8034-B7C04F4D3832", "[identifier]"),
        ("from 192.168.178.20:8080, 10.0.0.1.", "from [network address]:8080, [network address]."),
        ("http://10.1.2.3/x, host=10.1.2.3", "http://[network address]/x, host=[network address]"),
        ("en0 fe80::1c2d:3e4f%en0 up", "en0 [network address] up"),
        ("[2001:db8::1]:443, fd12:3456::", "[[network address]]:443, [network address]"),
        ("2001:0db8:0:0:0:ff00:42:8329", "[network address]"),
        ("in ~jane/proj/x.py:3", "in [path]:3"),
        ("mail jane\uff20example\uff0eorg", "mail [e-mail address]"),
        # what identifies nobody
        ("nvidia-cublas==13.4.1.3, cuda-toolkit>=13.0.3.0, version 1.2.3.4", None),
        ("torch-1.2.3.4.whl, 1.2.3.4.5, 5.15.153.1-microsoft, v1.2.3.4, 1.2.3.4+cpu", None),
        ("connect to [127.0.0.1]:3709, 999.1.1.1, at 12:34:56", None),
        ("c10::Error at::native::add x.py::test_y 2026::x dead::beefs", None),
        ("torch~=2.1, ~2 GB, a~b/c", None),
        ("https://github.com/a/b/pull/1 says 3 samples/s", None),
        ("compat/test_x.py:12: AssertionError", None),
        ("<b>and/or</b> 1 / 2, 2026-11-21T13:00:00+00:00", None),
        ("jdoes and my-jdoe-x", None),
        ("torch 2.13.0+cpu in site-packages/torch/x.py", None),
    ],
)
def test_what_identifies_somebody_is_removed_from_any_text(text: str, copy: str | None) -> None:
    assert stripped_evidence(text) == (text if copy is None else copy)


def test_the_names_of_user_and_host_in_the_file_are_removed_everywhere() -> None:
    def personal(document: Any) -> None:
        document["machine_info"]["node"] = "studio-of-eve"
        document["machine_info"]["serial_number"] = "C02XL0GYJGH5"
        document["machine_info"]["cpu"] = {"evelyn": "/Users/evelyn/x"}
        document["commit_info"] = {"id": "unknown", "branch": "evelyn/x", "project": "secret"}
        document["note"] = {"deep": [{"who": "evelyn on Studio-of-Eve"}]}

    stripped = anonymise.strip(edited(BENCHMARKS, personal))
    for secret in ("evelyn", "studio-of-eve", "C02XL0GYJGH5", "secret"):
        assert secret not in stripped.text.lower()
    places = {place for place, _ in stripped.removed}
    assert {"machine_info.node", "machine_info.serial_number", "commit_info.branch"} <= places
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


@pytest.mark.parametrize("document", [BENCHMARKS, COMPAT], ids=["benchmarks", "compat"])
def test_a_name_is_removed_wherever_it_is(document: Any) -> None:
    written = 0
    texts = [path for path, value in places(document) if isinstance(value, str)]
    for *path, last in texts:
        copy = json.loads(json.dumps(document))
        at = copy
        for key in path:
            at = at[key]
        at[last] = f"{at[last]} /Users/evelyn/x by JDoe on janes-mini"
        try:
            stripped = anonymise.strip(json.dumps(copy).encode(), NAMES)
        except FieldError:
            continue  # a word from a fixed list, a time, the system, or part of the hardware
        written += 1
        assert not {"evelyn", "jdoe", "janes-mini"} & set(
            re.split(r"[^\w-]+", stripped.text.lower())
        )
    assert written >= 9


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


def test_a_copy_with_other_results_is_refused() -> None:
    with pytest.raises(
        FieldError, match=r"change its results \(machine_info.hardware.chip: host name"
    ):
        anonymise.strip(json.dumps(BENCHMARKS).encode(), [("host name", "Apple M4")])


@pytest.mark.parametrize("name", ["mps", "train", "root", "runner", "m4", "2026", ""])
def test_a_name_that_is_an_ordinary_word_is_not_removed(name: str) -> None:
    stripped = anonymise.strip(json.dumps(BENCHMARKS).encode(), [("user name", name)])
    assert not [kind for _, kind in stripped.removed if kind == "user name"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"{}", "neither a metalassay verdict file nor a benchmark run"),
        (b'{"schema": "metalassay.upstream/1"}', "contains no measurement and no verdict"),
        (edited(BENCHMARKS, lambda d: d.update(benchmarks=[])), "contains no measurement"),
        (edited(COMPAT, lambda d: d["bugs"][0].update(verdict="fine")), "contradicts itself"),
        (
            json.dumps(BENCHMARKS).encode()[:-1] + b', "x": ' + b"[" * 90 + b"]" * 90 + b"}",
            "nested too deeply",
        ),
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


def test_nan_outside_the_results_becomes_null() -> None:
    stripped = anonymise.strip(json.dumps(BENCHMARKS).encode()[:-1] + b', "x": [NaN, 1e999]}')
    assert json.loads(stripped.text)["x"] == [None, None]


def test_the_command_writes_copies_and_reports_what_it_removed_and_where_to_send_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "gethostname", lambda: "studio-of-eve.local")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "run.json"
    path.write_bytes(evidence("on studio-of-eve in /Users/eve/x and /Users/eve/y"))
    before = path.read_bytes()
    assert main(["submit", "in/run.json"]) == 0
    printed = capsys.readouterr().out
    assert "bugs[0].tests[0].evidence: host name\n" in printed
    assert "bugs[0].tests[0].evidence: path, 2 times" in printed
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
    assert (found.limit, found.why) == (1, "killed by [path]")


def test_a_version_of_four_numbers_stays_where_versions_stand() -> None:
    def versioned(document: Any) -> None:
        document["versions"]["numpy"] = "1.2.3.4"
        document["machine_info"]["release"] = "6.1.0.13"

    assert not anonymise.strip(edited(BENCHMARKS, versioned)).removed
