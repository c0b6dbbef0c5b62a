"""What `metalassay explain` makes of messages, tracebacks and logs."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import traceback
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalassay import bugs, cli, explain, recognise, traces, versions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "data" / "explain_examples.toml").read_text("utf-8")
)["example"]
PATTERNS = [
    pytest.param(bug, symptom, pattern, id=f"{bug.id}-{symptom.id}-{number}")
    for bug in bugs.load()
    for symptom in bug.symptoms
    for number, (pattern, _) in enumerate(recognise.patterns(symptom))
]
FAMOUS = (
    "UnboundLocalError: cannot access local variable 'current_batch' "
    "where it is not associated with a value"
)
CUT = FAMOUS[: FAMOUS.index("_batch") + 3] + "..."
EIGHT = {"python": "3.11.7", "accelerate": "1.8.0", "torch": "2.13.0"}
GRPO = next(each for each in EXAMPLES if "GRPOTrainer(" in each["text"])


def found(text: str, installed: dict[str, str]) -> dict[str, str]:
    """Return the bugs that explain the text, in order, and whether each applies."""
    return {each.bug: each.applies for each in explain.explain(text, installed).explanations}


def pipe(data: bytes) -> io.TextIOWrapper:
    """Return a standard input that is a pipe."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_what_users_see_is_explained_by_its_bug(example: dict[str, Any]) -> None:
    assert found(example["text"], example["versions"])[example["bug"]] == "yes"


@pytest.mark.parametrize(("bug", "symptom", "pattern"), PATTERNS)
def test_every_pattern_has_an_example_in_its_range(
    bug: bugs.Bug, symptom: bugs.Symptom, pattern: str
) -> None:
    """Where a pattern was added to known_bugs/, add what users see to data/explain_examples.toml."""
    assert [
        each
        for each in EXAMPLES
        if re.search(pattern, each["text"]) and bug.hits(each["versions"], symptom.id)
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_an_example_is_of_a_known_bug_and_says_where_it_comes_from(example: dict[str, Any]) -> None:
    assert bugs.get(example["bug"]).hits(example["versions"])
    assert example["ran"]


def test_this_python_says_it_in_words_that_are_known() -> None:
    def iterate(batches: list[int]) -> int:
        for each in batches:
            current_batch = each
        return current_batch

    try:
        iterate([])
    except UnboundLocalError:
        said = traceback.format_exc()
    assert found(said, EIGHT) == {"accelerate-empty-shard": "yes"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each["bug"])
def test_a_message_without_its_type_is_enough(example: dict[str, Any]) -> None:
    last = example["text"].strip().splitlines()[-1]
    message = re.sub(r"^(\[rank\d\]: )?[\w.]+(Error|Warning): ", "", last)
    assert found(message, example["versions"])[example["bug"]] == "yes"


@pytest.mark.parametrize(
    "text",
    [
        f"[rank1]: {FAMOUS}",
        f"2025-06-26 10:11:12,345 - ERROR - {FAMOUS}",
        f"ERROR:root:training failed\n{FAMOUS}\r\nsee above\r\n",
        f"\x1b[1;35m{FAMOUS[:17]}\x1b[0m: \x1b[35m{FAMOUS[19:]}\x1b[0m",
        f"| {FAMOUS}",
        f"step 1\rstep 2\r{FAMOUS}",
        FAMOUS.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
        "UnboundLocalError: cannot access local variable 'current_batch' where it is not \nassociated with a value",
        "UnboundLocalError: cannot access local variable \n'current_batch' where it is not associated",
        f'{{"level": "error", "exc": "Traceback (most recent call last):\\n  File \\"a.py\\", line 1\\n{FAMOUS}"}}',
        "failed: UnboundLocalError(\"cannot access local variable 'current_batch' where it is not\")",
        f"{FAMOUS}\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: 'a'",
        f"RuntimeError: worker 0 died: {FAMOUS}",
        f"│ {FAMOUS[:47]} │\n│ {FAMOUS[48:]} │\n╰──────╯",
        FAMOUS[:70] + "…",
        CUT,
        CUT.rstrip("."),
        f"{FAMOUS}\n" * 1000 + "bye\n" * 1000,
    ],
    ids=lambda text: re.sub(r"\W+", "-", text[:50]),
)
def test_terminals_loggers_and_copying_do_not_hide_it(text: str) -> None:
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


@pytest.mark.parametrize(
    "text",
    [
        f"\x1b]8;id=1;file:///a.py\x1b\\UnboundLocalError\x1b]8;;\x1b\\{FAMOUS[17:]}",
        f"10%|#   |\r20%|##  |\r{FAMOUS}\r\n",
        f"╭── Traceback ──╮\n│ {FAMOUS}    │\n╰──────╯",
        f"Traceback (most recent call last):\\n  File, line 1\\n{FAMOUS}",
    ],
    ids=["link", "progress", "box", "json"],
)
def test_what_was_found_is_quoted_without_what_stood_around_it(text: str) -> None:
    [first] = explain.explain(text, EIGHT).explanations
    assert (first.evidence.how, first.evidence.words) == ("raised", FAMOUS)


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'labels'",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "UnboundLocalError: cannot access local variable 'loss' where it is not associated with a value",
        "UnboundLocalError: local variable 'next_batch' referenced before assignment",
        "UnboundLocalError: cannot access local variable 'c…",
        "TypeError: 'NoneType' object is not…",
        "KeyError: \"local variable 'current_batch'\"",
        "ValueError: Batch size must be positive",
        "AssertionError: an empty loader yielded None",
        "{'train_loss': 0.0312, 'epoch': 3.0}",
        "stopping training at step 5",
        "TypeError: train() got an unexpected keyword argument 'tokenizer'",
        # What the source line says was not raised.
        '    raise ValueError("Batch does not contain any data")\nKeyError: 1',
        '  531 │   │   raise ValueError("Batch does not contain any data")\nKeyError: 1',
        "...",
        "\x00\x01\x02\ufffd",
        "",
    ],
)
@pytest.mark.parametrize("installed", [{}, EIGHT, GRPO["versions"]], ids=["none", "1.8.0", "grpo"])
def test_what_is_no_known_bug_is_not_explained(text: str, installed: dict[str, str]) -> None:
    assert found(text, installed) == {}


def test_where_grpo_is_named_its_bug_comes_before_the_crash_it_leads_to() -> None:
    assert list(found(GRPO["text"], GRPO["versions"])) == [
        "grpo-zero-steps",
        "accelerate-empty-shard",
    ]
    assert next(iter(found(f"GRPOTrainer\n{FAMOUS}", GRPO["versions"]))) == "grpo-zero-steps"
    plain = GRPO["text"].replace("GRPOTrainer", "Trainer").replace("grpo", "")
    assert list(found(plain, GRPO["versions"])) == ["accelerate-empty-shard", "grpo-zero-steps"]


def test_a_bug_of_what_is_neither_installed_nor_named_is_not_offered() -> None:
    assert found(FAMOUS, {"accelerate": "1.8.0"}) == {"accelerate-empty-shard": "yes"}
    assert found(f"GRPO\n{FAMOUS}", {"accelerate": "1.8.0"}) == {
        "accelerate-empty-shard": "yes",
        "grpo-zero-steps": "unknown",
    }


def test_a_symptom_goes_before_other_words_and_the_installed_before_both() -> None:
    text = "ValueError: args.max_steps must be set to a positive value if dataloader does not have a length, was -1"
    both = {"transformers": "5.23.0", "trl": "1.16.0"}
    assert list(found(text, both)) == [
        "grpo-zero-steps",
        "trainer-drop-last-misleading-max-steps",
    ]
    without = {"transformers": "5.23.0"}
    assert list(found(text, without)) == ["trainer-drop-last-misleading-max-steps"]


def test_the_last_of_two_exceptions_goes_first() -> None:
    one, two = (
        "ValueError: Batch does not contain any data (`None`).",
        "AttributeError: 'IterableDataset' object has no attribute 'n_shard'",
    )
    ids = ["accelerate-empty-dispatcher", "accelerate-n-shard-typo"]
    assert list(found(f"{two}\n\nDuring handling:\n\n{one}", EIGHT)) == ids
    assert list(found(f"{one}\n\nDuring handling:\n\n{two}", EIGHT)) == ids[::-1]
    assert list(found(f"{one}\n{two}\n{one}", EIGHT)) == ids
    source = "    raise TypeError('no')\n"
    answer = explain.explain(f"{one}\n\nDuring handling:\n\n{source}{two}", EIGHT)
    assert answer.exceptions == (two, one)


def test_bugs_that_say_the_same_stand_in_a_stated_order() -> None:
    """Hits of one text never tie, but for the order of the data."""
    for example in EXAMPLES:
        hits = recognise.recognise(traces.clean(example["text"]), example["versions"])
        order = [bug.id for bug in bugs.load()]
        keys = [(hit.rank, order.index(hit.bug.id)) for hit in hits]
        assert keys == sorted(keys)


def test_versions_that_are_not_affected_are_told_apart_from_unknown_ones() -> None:
    [healthy, *_] = explain.explain(FAMOUS, {"accelerate": "1.15.0"}).explanations
    assert healthy.applies == "no"
    assert "accelerate 1.15.0: not affected by this; the text comes from another" in healthy.note
    [unknown, *_] = explain.explain(FAMOUS, {"torch": "2.13.0"}).explanations
    assert healthy.cures == tuple(
        each for each in bugs.get("accelerate-empty-shard").cures if not each.startswith("not a")
    )
    assert unknown.applies == "unknown"
    assert unknown.note.startswith("accelerate not found, so it is unknown")


def test_a_bug_that_would_show_otherwise_here_says_so() -> None:
    here = {"accelerate": "1.15.0", "trl": "1.16.0"}
    assert found(FAMOUS, here) == {"grpo-zero-steps": "otherwise", "accelerate-empty-shard": "no"}


def test_everyday_words_are_said_to_have_other_causes_and_need_affected_versions() -> None:
    text = "TypeError: 'NoneType' object is not subscriptable"
    answer = explain.explain(text, EIGHT)
    assert answer.explanations[0].evidence.everyday
    assert "other mistakes give these words too" in explain.as_text(answer)
    assert found(text, {"accelerate": "1.15.0"}) == {}
    full, certain = (
        "RuntimeError: MPS backend out of memory",
        "ValueError: Batch does not contain any data",
    )
    assert list(found(f"{certain}\n{full}", EIGHT)) == [
        "accelerate-empty-dispatcher",
        "accelerate-mps-oom-not-recognised",
    ]


@pytest.mark.parametrize("words", recognise.EVERYDAY)
def test_each_everyday_word_is_of_a_known_bug(words: str) -> None:
    assert any(re.search(words, each["text"]) for each in EXAMPLES)


def test_words_that_are_cut_off_are_said_to_be() -> None:
    assert "the text is cut off there" in explain.as_text(explain.explain(CUT, EIGHT))
    assert "cut off" not in explain.as_text(explain.explain(FAMOUS, EIGHT))


def test_a_cure_that_is_installed_comes_last_and_what_is_none_is_kept_apart() -> None:
    text = "TypeError: Can only concatenate tensors but got <class 'str'>"
    [first] = explain.explain(f"[rank0]: {text}", {"accelerate": "1.15.0"}).explanations
    assert first.cures[0].startswith("several: ")
    assert first.cures[-1].endswith("'accelerate>=1.13.0' [installed already]")
    [first] = explain.explain(text, {"accelerate": "1.8.0"}).explanations
    assert first.cures[0] == "one process: pip install 'accelerate>=1.13.0'"
    [first] = explain.explain(FAMOUS, EIGHT).explanations
    assert not any("1.1.1" in cure for cure in first.cures)
    assert any("1.1.1" in cure for cure in first.not_cures)


def test_the_text_for_people_holds_all_and_keeps_to_the_width() -> None:
    answer = explain.explain(FAMOUS, EIGHT)
    text = explain.as_text(answer, width=60)
    bug = bugs.get("accelerate-empty-shard")
    flat = " ".join(text.split())
    for part in (bug.title, bug.link, bug.where_text(), "accelerate 1.8.0: affected", FAMOUS):
        assert part in flat
    assert " ".join(bug.cause.split()) in flat
    assert "cures 1. upgrade" in flat
    assert max(len(line) for line in text.splitlines()[2:] if "patches" not in line) <= 60


def test_at_most_three_bugs_are_shown_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "\n".join(each["text"] for each in EXAMPLES)
    assert cli.main(["explain", "--versions", "accelerate=1.8.0", text]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n   affected ") == 3
    assert re.search(r"^\d+ more known bugs fit: --all$", shown, re.MULTILINE)
    assert cli.main(["explain", "--versions", "accelerate=1.8.0", "--all", text]) == 0
    assert capsys.readouterr().out.count("\n   affected ") > 3


def test_the_installed_versions_are_asked_unless_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions, "installed", lambda packages=(): {"accelerate": "1.8.1"})
    assert cli.main(["explain", FAMOUS]) == 0
    assert "accelerate 1.8.1: affected" in capsys.readouterr().out
    assert cli.main(["explain", "--versions", "Accelerate==1.15.0, torch=2.5.1", FAMOUS]) == 0
    assert "accelerate 1.15.0: not affected" in capsys.readouterr().out
    assert cli.main(["explain", "--python", sys.executable, "--json", FAMOUS]) == 0
    assert json.loads(capsys.readouterr().out)["versions"]["python"]


@pytest.mark.parametrize("text", ["accelerate", "accelerate=new", "=1.0", "a=1,,b=2", "a b=1"])
def test_versions_that_are_none_are_bad_input(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", "--versions", text, FAMOUS]) == 2
    assert "is not PACKAGE=VERSION" in capsys.readouterr().err


def test_a_log_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", pipe(GRPO["text"].encode()))
    assert cli.main(["explain", "--versions", "accelerate=1.8.0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["explanations"][0]["bug"] == "accelerate-empty-shard"
    assert answer["exceptions"] == [FAMOUS]
    assert answer["bytes_left_out"] == 0


def test_no_match_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "KeyError:", "'labels'"]) == 1
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "No known bug explains this text; it ends in KeyError: 'labels'"
    assert second.startswith("  next: metalassay doctor")
    assert rest == []


def test_no_text_and_an_empty_one_are_bad_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = mock.Mock(**{"isatty.return_value": True})
    for stdin, said in (
        (terminal, "there is no text"),
        (None, "there is no text"),
        (pipe(b""), "the text is empty"),
        (pipe(b" \n\0"), "the text is empty"),
    ):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert cli.main(["explain"]) == 2
        assert said in capsys.readouterr().err


def test_all_known_bugs_are_listed_with_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(1 + len(bug.symptoms) for bug in bugs.load())
    for bug in bugs.load():
        assert f"{bug.id}  ({bug.where_text()})  {bug.title}" in lines
    assert "    ValueError: Batch does not contain any data" in lines
    assert "    ValueError: __len__() should return >= 0" in lines
    assert cli.main(["explain", "--list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(bugs.load())


def test_of_a_long_log_the_end_is_read_and_the_rest_is_counted() -> None:
    log = b"x" * 1_000_000 + FAMOUS.encode()
    text, left_out = traces.read_tail(io.BytesIO(log), most=500)
    assert text.endswith(FAMOUS)
    assert len(text) == 500
    assert left_out == len(log) - 500
    assert traces.read_tail(io.BytesIO(b"short"), most=500) == ("short", 0)


def test_a_log_larger_than_memory_is_no_problem() -> None:
    """The stream is 64 MB; what is kept must stay near what was asked for."""
    blocks = (b"%065536d" % number for number in range(1000))
    stream = mock.Mock(**{"read.side_effect": itertools.chain(blocks, [b""])})
    tracemalloc.start()
    text, left_out = traces.read_tail(stream, most=100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) == 100_000
    assert left_out == 1000 * 2**16 - 100_000
    assert peak < 10_000_000


def test_an_endless_line_is_split_so_that_no_pattern_runs_over_megabytes() -> None:
    lines = traces.clean("Trainer" * 10_000 + FAMOUS).splitlines()
    assert max(len(line) for line in lines) <= 4_000
    assert "".join(lines).endswith(FAMOUS)


def test_what_was_left_out_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = b"all is well\n" * 200_000 + FAMOUS.encode()
    monkeypatch.setattr(traces, "MOST_BYTES", 70_000)
    monkeypatch.setattr(sys, "stdin", pipe(log))
    assert cli.main(["explain", "--versions", "accelerate=1.8.0"]) == 0
    said = capsys.readouterr()
    assert f"{len(log) - 70_000:,} bytes before it were left out" in said.err
    assert FAMOUS in " ".join(said.out.split())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_log_of_any_encoding_reads(encoding: str) -> None:
    text, _ = traces.read_tail(io.BytesIO(FAMOUS.encode(encoding)), most=10_000)
    assert found(text, EIGHT) == {"accelerate-empty-shard": "yes"}


def test_garbage_is_no_bug_and_no_crash() -> None:
    text, _ = traces.read_tail(io.BytesIO(bytes(range(256)) * 200), most=60_000)
    answer = explain.explain(text, EIGHT)
    assert answer.explanations == ()
    assert not set("\0\x1b\x9b") & set(explain.as_text(answer))


WORDS = st.sampled_from(
    [each["text"] for each in EXAMPLES]
    + [str(pattern.values[2]) for pattern in PATTERNS]
    + ["\x1b[0m", "│", "Error: ", "...", "…", "'", "\r", "\n", "raise ValueError('", "\ud800"]
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(WORDS, st.text(max_size=30)), max_size=8).map("".join),
    st.sampled_from([{}, EIGHT, GRPO["versions"]]),
)
def test_every_text_has_an_answer_that_prints(text: str, installed: dict[str, str]) -> None:
    answer = explain.explain(text, installed)
    explain.as_text(answer, most=None).encode("utf-8")
    ids = [each.bug for each in answer.explanations]
    assert len(ids) == len(set(ids))


def test_explain_imports_no_library_it_explains() -> None:
    code = (
        f"import sys; from metalassay import cli; cli.main(['explain', {FAMOUS!r}]);"
        "print(sorted({'torch', 'accelerate', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
