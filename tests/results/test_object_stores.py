"""Finding result files in object stores, on fsspec's own store in memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import constructed_origin
import pytest

from metalassay.errors import UserError
from metalassay.results import load, object_stores, source

DATA = Path(__file__).parents[1] / "data" / "runs"
M4 = (DATA / "constructed_benchmarks_m4.json").read_bytes()
MARK = json.dumps(constructed_origin.mark("c", "2026-11-28T10:03:07", "interrupted")).encode()
LINUX = (DATA / "constructed_benchmarks_linux.json").read_bytes()


def test_an_object_store_is_read_like_a_folder() -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    store = fsspec.filesystem("memory")
    for name, content in (
        ("/fleet/m4/a.json", M4),
        ("/fleet/linux/b.json", LINUX),
        ("/fleet/linux/._b.json", b"\0"),
        ("/fleet/notes.txt", b"no"),
        ("/fleet/m4/c.unfinished", MARK),
        ("/fleet/bad.json", b"{"),
    ):
        store.pipe_file(name, content)
    try:
        loaded = load.load(["memory://fleet"])
        assert loaded.measured == 5
        assert [one.file for one in loaded.unfinished] == ["memory:///fleet/m4/c.unfinished"]
        (warning,) = loaded.warnings
        assert warning.startswith("memory:///fleet/bad.json: not JSON")
        assert {one.file for one in loaded.measurements} == {
            "memory:///fleet/m4/a.json",
            "memory:///fleet/linux/b.json",
        }
        # a pattern and a file, each result once
        loaded = load.load(["memory://fleet/m4/*.json", "memory://fleet/m4/a.json"])
        assert (loaded.measured, loaded.warnings) == (3, ())
        with pytest.raises(UserError, match="there is nothing at memory://nowhere"):
            load.load(["memory://nowhere"])
    finally:
        store.rm("/fleet", recursive=True)


def test_a_file_that_is_too_large_is_not_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    store = fsspec.filesystem("memory")
    store.pipe_file("/large/a.json", M4)
    monkeypatch.setattr(object_stores, "LARGEST", 100)
    monkeypatch.setattr(source, "LARGEST", 100)
    monkeypatch.setattr(type(store), "cat_file", lambda *_, **__: pytest.fail("fetched"))
    try:
        (warning,) = load.load(["memory://large"]).warnings
        assert warning.startswith("memory:///large/a.json: too large for a result")
    finally:
        store.rm("/large", recursive=True)


def test_without_fsspec_the_user_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UserError) as caught:
        load.load(["s3://bucket/runs"])
    assert caught.value.message == "cannot read s3://bucket/runs: fsspec is not installed"
    assert caught.value.next_step == "pip install 'metalassay[fleet]'"


def test_without_the_package_of_a_store_the_user_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")

    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        UserError, match=r"Install s3fs to access S3 \(pip install 'metalassay\[fleet"
    ):
        load.load(["s3://bucket/runs"])


def test_a_store_that_refuses_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra fleet is not installed")

    class NoCredentialsError(Exception):
        """As botocore's, which is not an OSError."""

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentialsError("Unable to locate\ncredentials")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "find", refuse)
    with pytest.raises(UserError) as caught:
        load.load(["memory://fleet"])
    assert caught.value.message == (
        "cannot read memory://fleet: NoCredentialsError: Unable to locate credentials"
    )


def test_an_unknown_kind_of_store_is_the_users_error() -> None:
    pytest.importorskip("fsspec", reason="the extra fleet is not installed")
    with pytest.raises(UserError, match="cannot read s4://bucket: Protocol not known"):
        load.load(["s4://bucket"])
