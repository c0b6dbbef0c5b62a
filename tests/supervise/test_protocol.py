"""What `metalassay run` and the processes below it say to each other."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from metalassay.supervise import protocol
from metalassay.supervise.protocol import Config, Request


def test_a_configuration_and_a_request_are_read_as_they_were_written(tmp_path: Path) -> None:
    config = Config(("accelerate_empty_shard",), guard=False)
    protocol.write_config(tmp_path, config)
    assert protocol.read_config(tmp_path) == config
    assert protocol.read_request(tmp_path) is None
    protocol.write_request(tmp_path, Request(1, "census"))
    protocol.write_request(tmp_path, Request(2, "stop", "memory", {"grace": 60}))
    assert protocol.read_request(tmp_path) == Request(2, "stop", "memory", {"grace": 60})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "request.json"]


def test_a_message_arrives_whole_and_a_long_one_is_cut_to_fit(tmp_path: Path) -> None:
    with protocol.listen(tmp_path) as receiver:
        assert protocol.send(tmp_path, "steps", steps=12)
        assert protocol.send(tmp_path, "zero steps", text="é" * 5000, next_step="ü" * 300)
        assert protocol.parse(receiver.recv(65536)) == {
            "pid": os.getpid(),
            "kind": "steps",
            "steps": 12,
        }
        data = receiver.recv(65536)
    assert len(data) <= protocol.LARGEST
    message = protocol.parse(data)
    assert message is not None
    assert message["text"] == "é" * 100


def test_a_message_that_nobody_reads_is_lost_and_not_waited_for(tmp_path: Path) -> None:
    assert not protocol.send(tmp_path, "steps", steps=1)
    with protocol.listen(tmp_path):
        sent = [protocol.send(tmp_path, "steps", steps=number) for number in range(20_000)]
    assert not all(sent)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 5000,
        b'{"pid": 1}',
        b'{"pid": "1", "kind": "steps", "steps": 1}',
        b'{"pid": 1, "kind": "steps"}',
        b'{"pid": 1, "kind": ["steps"]}',
        b'{"pid": 1, "kind": "other"}',
    ],
)
def test_what_is_no_message_of_ours_is_ignored(data: bytes) -> None:
    assert protocol.parse(data) is None


def test_the_protocol_needs_only_the_standard_library_and_python_3_10() -> None:
    source = Path(protocol.__file__).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 10))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {
        "__future__",
        "collections",
        "dataclasses",
        "json",
        "os",
        "pathlib",
        "socket",
        "typing",
    }
