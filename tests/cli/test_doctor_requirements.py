"""`metalassay doctor --requirements`: a set is judged before it is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from metalassay.cli import main
from metalassay.matrix import resolver
from metalassay.matrix.resolver import Failure

# What uv answers today for `transformers>=4.46` and `trl==0.16.1`: the metadata allow it.
CHOSEN = (
    "accelerate==1.15.0", "datasets==5.2.0", "huggingface-hub==2.4.0", "numpy==2.4.6",
    "torch==2.15.0 ; python_version > '3'", "transformers==5.24.0", "trl==0.16.1",
)  # fmt: skip
Answer = tuple[str, ...] | Failure


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Return a function that sets the resolver's answers, and returns what it was asked."""

    def answers(*given: Answer) -> list[list[str]]:
        asked: list[list[str]] = []

        def lock(requirements: Iterable[str], python: Path, options: Sequence[str] = ()) -> Answer:
            assert list(options) == ["--no-build"]  # what builds a package runs its code
            asked.append(list(requirements))
            return given[len(asked) - 1]

        monkeypatch.setattr(resolver, "lock", lock)
        monkeypatch.setenv("COLUMNS", "80")
        return asked

    return answers


def file(tmp_path: Path, text: str, name: str = "requirements.txt") -> str:
    """Write a file and return its path."""
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def test_what_the_metadata_allow_and_cannot_run_is_found_before_it_is_installed(
    tmp_path: Path, resolve: Callable[..., object], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    resolve(CHOSEN)
    monkeypatch.chdir(tmp_path)
    file(tmp_path, "transformers>=4.46\ntrl==0.16.1\nmine @ git+https://example.org/mine")
    assert main.main(["doctor", "--requirements", "requirements.txt"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Can this train? Yes, except for: GRPOTrainer")
    assert any(line.startswith("Do: ask for trl") for line in lines)
    assert any(line.endswith("asked for by requirements.txt; not installed") for line in lines)
    assert lines[-1] == "info     not judged: mine"
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)


def test_a_lock_file_needs_no_resolver(
    tmp_path: Path, resolve: Callable[..., list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = resolve()
    pins = [("accelerate", "1.8.0"), ("torch", "2.13.0"), ("transformers", "4.52.4")]
    lock = "".join(f'[[package]]\nname = "{name}"\nversion = "{v}"\n' for name, v in pins)
    path = file(tmp_path, lock, "uv.lock")
    assert main.main(["doctor", "--json", "--requirements", path]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["versions"]["accelerate"] == "1.8.0"
    assert document["resolved"] == dict(pins)
    assert document["fix"][:4] == ["uv", "add", "--project", str(tmp_path)]
    assert asked == []


def test_requirements_that_contradict_each_other_are_a_no(
    tmp_path: Path, resolve: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "Because transformers==4.52.4 depends on huggingface-hub<1.0 and you require >=1"
    resolve(Failure(why, conflict=True), Failure(why, conflict=True))
    path = file(tmp_path, "transformers==4.52.4\nhuggingface-hub>=1")
    assert main.main(["doctor", "--requirements", path]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Can this train? No: what ")
    assert why in said
    assert main.main(["doctor", "--json", "--requirements", path]) == 1
    assert json.loads(capsys.readouterr().out)["not_installable"] == why


def test_without_an_index_there_is_no_verdict(
    tmp_path: Path, resolve: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    resolve(Failure("Failed to fetch the index"))
    assert main.main(["doctor", "--requirements", file(tmp_path, "trl")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "could not be resolved: Failed to fetch the index; that says nothing" in said.err


def test_what_has_no_wheel_is_left_out_and_never_built(
    tmp_path: Path, resolve: Callable[..., list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = resolve(Failure("antlr4==4.9.3 has no usable wheels", conflict=True), CHOSEN)
    path = file(tmp_path, "trl==0.16.1\nantlr4==4.9.3\nTransformers>=4.46")
    assert main.main(["doctor", "--requirements", path]) == 1
    assert asked[1] == ["trl==0.16.1", "Transformers>=4.46"]
    assert "not judged: antlr4" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"a b c"])
def test_a_file_that_is_no_list_is_exit_code_2(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    assert main.main(["doctor", "--requirements", str(tmp_path / "x.txt")]) == 2
    assert main.main(["doctor", "--requirements", str(tmp_path)]) == 2
    assert "x.txt" in capsys.readouterr().err


def test_nothing_is_applied_to_what_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file(tmp_path, "trl")
    assert main.main(["doctor", "--requirements", path, "--apply"]) == 2
    assert "there is nothing to apply" in capsys.readouterr().err


def test_fix_names_what_to_ask_for(
    tmp_path: Path, resolve: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    resolve(CHOSEN)
    main.main(["doctor", "--requirements", file(tmp_path, "trl==0.16.1"), "--fix"])
    assert capsys.readouterr().out.startswith("install: trl")
