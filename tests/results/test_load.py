"""Loading result files: good ones are read, a bad one costs one warning, and none raises."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import constructed_origin
import pytest

from metalassay.errors import UserError
from metalassay.results import load, parse
from metalassay.supervise import profile_file

DATA = Path(__file__).parents[1] / "data" / "runs"
COMPAT = json.loads((DATA / "constructed_compat_patched.json").read_text("utf-8"))
BENCHMARKS = json.loads((DATA / "constructed_benchmarks_m4.json").read_text("utf-8"))


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names() -> None:
    loaded = load.load([DATA])
    assert loaded.warnings == ()
    assert [version_set.id for version_set in loaded.compat] == [
        "accelerate-1.10.0",
        "guide",
        "accelerate-1.8.0",
        "accelerate-1.9.0",
    ]
    assert [(m.workload, m.mode, m.device, m.batch_size) for m in loaded.measurements] == [
        ("transit-cnn", "train", "cpu", 64),
        ("transit-cnn", "infer", "cpu", 64),
        ("transit-cnn", "train", "mps", 64),
        ("transit-cnn", "infer", "mps", 64),
        ("gpt-tiny", "train", "mps", 8),
        ("transit-cnn", "train", "mps", 64),
        ("transit-cnn", "infer", "mps", 64),
    ]


def test_a_measurement_has_its_machine_its_conditions_and_raw_times() -> None:
    one = load.load([DATA / "constructed_benchmarks_m4.json"]).measurements[0]
    assert one.machine.chip == "Apple M4"
    assert one.versions == {"python": "3.11.7", "torch": "2.13.0"}
    assert (one.dtype, one.unit, one.items_per_call, one.threads) == ("float32", "samples", 64, 4)
    assert one.seconds == (0.064, 0.0608, 0.0672, 0.0576, 0.0704)
    assert one.rounds == 5
    assert one.when == datetime(2026, 11, 21, 13, tzinfo=UTC)
    assert one.file.endswith("constructed_benchmarks_m4.json")


def test_an_identity_of_the_whole_source_is_told_apart_from_that_of_a_workload(
    tmp_path: Path,
) -> None:
    old = DATA / "constructed_benchmarks_m4.json"
    document = json.loads(old.read_text())
    for benchmark in document["benchmarks"]:
        del benchmark["extra_info"]["source_hash"]
        benchmark["extra_info"]["identity"] = "ast1-c0ffee000000"
    new = tmp_path / "new.json"
    new.write_text(json.dumps(document))
    read = [load.load([path]).measurements for path in (old, new)]
    assert {one.identity for one in read[0]} == {"source-c0ffee0000000000"}
    assert {one.identity for one in read[1]} == {"ast1-c0ffee000000"}


def test_a_version_set_has_its_bugs_and_their_evidence() -> None:
    one = load.load([DATA / "constructed_compat_patched.json"]).compat[0]
    assert one.distrusted is None
    assert [(bug.id, bug.verdict) for bug in one.bugs] == [
        ("accelerate-empty-shard", "patched"),
        ("accelerate-mps-oom", "not tested"),
    ]
    assert one.bugs[0].tests[0].evidence.endswith("not associated with a value")
    assert one.bugs[1].why == "needs a Mac with Metal"


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"a":\n\n nope}', "not JSON (line 3, column 2: Expecting value)"),
        (
            b'{"schema": "metalassay',
            "not JSON (line 1, column 12: Unterminated string starting at)",
        ),
        (
            b'{"a": [1, 2',
            "not JSON (line 1, column 12, where the file ends: Expecting ',' delimiter)",
        ),
        (b"\xff\xfe{}", "not UTF-8 text (byte 0)"),
        (b"[]", "JSON, but neither a metalassay verdict file nor a benchmark run"),
        (b"3", "JSON, but neither a metalassay verdict file nor a benchmark run"),
        (b'{"schema": 3}', "JSON, but neither a metalassay verdict file nor a benchmark run"),
        (
            b'{"machine_info": {}, "benchmarks": []}',
            "datetime is missing",
        ),
        (
            b'{"schema": "metalassay.compat/2"}',
            "written by a newer metalassay (schema metalassay.compat/2); upgrade to read it",
        ),
        (
            b'{"metalassay": {"schema": "metalassay.benchmarks/10"}}',
            "written by a newer metalassay (schema metalassay.benchmarks/10); upgrade to read it",
        ),
        (
            b'{"schema": "metalassay.compat/one"}',
            "schema: expected metalassay.compat/1, found 'metalassay.compat/one'",
        ),
        (b'{"metalassay": null}', "metalassay: expected an object, found null"),
        (b'{"schema": "metalassay.compat/1"}', "set is missing"),
    ],
)
def test_a_file_that_is_not_a_result_costs_one_warning(
    content: bytes, warning: str, tmp_path: Path
) -> None:
    bad = tmp_path / "a.json"
    bad.write_bytes(content)
    (tmp_path / "b.json").write_text(json.dumps(BENCHMARKS), "utf-8")
    loaded = load.load([tmp_path])
    assert loaded.warnings == (f"{bad}: {warning}",)
    assert len(loaded.measurements) == 3


def test_the_files_of_a_training_are_skipped_without_a_warning(
    tmp_path: Path,
) -> None:
    tokenizer = {"version": "1.0", "added_tokens": [], "model": {"type": "BPE", "vocab": {}}}
    for run in ("one", "two"):  # with the same tokenizer
        for name, document in {
            "tokenizer.json": tokenizer,
            "result.json": {"steps": 20, "checkpoint": f"{run}/step-00000020", "loss": 1.5},
            "profile.json": {"schema": "metalassay.profile/1", "device": "cpu"},
            "calibration.json": {"schema": "metalassay.calibration/1", "source": "own"},
            "step-00000020/state.json": {"schema": "metalassay.checkpoint/1", "step": 20},
        }.items():
            (tmp_path / run / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / run / name).write_text(json.dumps(document))
    for name, text in {
        "a": '{"steps": 20',
        "b": '{"steps": true, "checkpoint": "x"}',
        "c": '{"model": {}}',
    }.items():
        (tmp_path / "one" / f"{name}.json").write_text(text)
    loaded = load.load([tmp_path])
    assert [Path(warning.split(": ")[0]).name for warning in loaded.warnings] == [
        "a.json",
        "b.json",
        "c.json",
    ]


def test_the_checkpoints_of_a_training_have_the_schema_that_is_skipped() -> None:
    checkpoint = pytest.importorskip("metalassay.training.checkpoint")
    assert checkpoint.SCHEMA.startswith(f"{parse.CHECKPOINT}/")
    assert profile_file.SCHEMA.startswith(f"{parse.PROFILE}/")


def test_a_file_that_contradicts_itself_is_kept_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**COMPAT, "versions": {"torch": "2.12.0"}}), "utf-8")
    loaded = load.load([path])
    doubt = "it asks for torch==2.13.0, but torch 2.12.0 was installed"
    assert loaded.compat[0].distrusted == doubt
    assert loaded.warnings == (f"{path}: contradicts itself: {doubt}",)


def test_the_same_content_is_counted_once_with_a_warning(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(BENCHMARKS), "utf-8")
    loaded = load.load([tmp_path])
    assert len(loaded.measurements) == 3
    assert loaded.warnings == (
        f"{tmp_path / 'b.json'}: the same content as {tmp_path / 'a.json'}; counted once",
    )


def test_a_file_named_twice_is_read_once_without_a_warning() -> None:
    path = DATA / "constructed_benchmarks_m4.json"
    loaded = load.load([path, DATA / ".." / "runs" / path.name])
    assert len(loaded.measurements) == 3
    assert loaded.warnings == ()


def test_a_path_that_does_not_exist_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*nowhere: .+ \(name a result file"):
        load.load([DATA, tmp_path / "nowhere"])
    with pytest.raises(UserError, match="cannot read"):
        load.load(["a\0b"])


def test_a_file_named_by_the_user_is_read_whatever_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "results.txt"
    path.write_text(json.dumps(BENCHMARKS), "utf-8")
    assert len(load.load([path]).measurements) == 3
    assert load.load([tmp_path]) == load.Loaded()


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(BENCHMARKS), "utf-8-sig")
    assert len(load.load([path]).measurements) == 3


def test_hidden_files_are_skipped_and_hidden_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "._x.json").write_bytes(b"\0\5\x16\7")
    inside = tmp_path / ".benchmarks"
    inside.mkdir()
    (inside / "x.json").write_text(json.dumps(BENCHMARKS), "utf-8")
    loaded = load.load([tmp_path])
    assert (len(loaded.measurements), loaded.warnings) == (3, ())


@pytest.fixture
def link() -> Callable[[Path, Path], None]:
    def make(path: Path, target: Path) -> None:
        try:
            path.symlink_to(target)
        except OSError as error:  # Windows requires a privilege
            pytest.skip(f"cannot make a symbolic link here: {error}")

    return make


def test_a_loop_of_links_is_walked_once(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "x.json").write_text(json.dumps(BENCHMARKS), "utf-8")
    link(folder / "again", tmp_path)
    link(folder / "once-more", tmp_path)  # with two, following each again would take for ever
    link(tmp_path / "alias.json", folder / "x.json")
    loaded = load.load([tmp_path])
    assert (len(loaded.measurements), loaded.warnings) == (3, ())


def test_a_dead_link_costs_a_warning(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    link(tmp_path / "x.json", tmp_path / "gone")
    (warning,) = load.load([tmp_path]).warnings
    assert warning.startswith(f"{tmp_path / 'x.json'}: cannot be read: ")


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "x.json")
    assert load.load([tmp_path]).warnings == (f"{tmp_path / 'x.json'}: not a regular file",)


def test_a_file_too_large_for_a_result_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as stream:
        stream.truncate(65 * 2**20)  # sparse
    assert load.load([path]).warnings == (f"{path}: too large for a result (65 MB)",)


def test_a_folder_includes_partial_runs_and_marks_of_runs_that_did_not_finish(
    tmp_path: Path,
) -> None:
    constructed_origin.write(tmp_path, constructed_origin.documents())
    (tmp_path / "x.txt").write_text("no result")
    loaded = load.load([tmp_path])
    assert loaded.warnings == ()
    assert {one.id for one in loaded.unfinished} == {
        "b-last-failed",
        "c-never-finished",
        "i-old-mark",
    }
    partial = [Path(one.file).name for one in loaded.compat if one.selection.partial]
    assert partial == ["d-partial-beside.partial", "e-only-partial.partial"]


def test_equal_marks_in_two_folders_are_both_read_and_a_bad_one_is_a_warning(
    tmp_path: Path,
) -> None:
    mark = constructed_origin.mark("x", "2026-11-28T10:03:07+00:00", "interrupted")
    for folder in ("a", "b"):
        constructed_origin.write(tmp_path / folder, {"x.unfinished": mark})
    constructed_origin.write(
        tmp_path / "c",
        {
            "x.unfinished": {**mark, "why": 3},
            "y.unfinished": {**mark, "schema": "metalassay.unfinished/2"},
        },
    )
    loaded = load.load([tmp_path])
    assert len(loaded.unfinished) == 2
    assert loaded.warnings == (
        f"{tmp_path / 'c' / 'x.unfinished'}: why: expected text, found 3",
        f"{tmp_path / 'c' / 'y.unfinished'}: written by a newer metalassay "
        "(schema metalassay.unfinished/2); upgrade to read it",
    )
