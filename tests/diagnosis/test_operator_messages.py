"""What torch says about operators and dtypes, in all its wordings and however a text was broken."""

from __future__ import annotations

import textwrap

import pytest
from packaging.version import Version

from metalassay.diagnosis import operator_messages
from metalassay.diagnosis.operator_messages import mentions
from metalassay.mps.emulator import messages
from metalassay.mps.operators import oracle, releases

ENTIRE = messages.messages("2.7.0", releases.commits()["2.7.0"])
ERROR = f"NotImplementedError: {ENTIRE.not_implemented.format('aten::_linalg_solve_ex.result')}"


def seen(text: str) -> list[tuple[str, str]]:
    return [
        (each.kind, f"{each.namespace}::{each.name}" if each.namespace else each.name)
        for each in mentions(text)
    ]


@pytest.mark.parametrize("version", oracle.versions())
def test_the_messages_of_every_release_are_read(version: str) -> None:
    release = oracle.load(version)
    said = messages.messages(version, release.git)
    [error] = mentions(said.not_implemented.format("aten::mode"))
    assert (error.kind, error.namespace, error.name) == ("missing", "aten", "mode")
    assert (error.commit is None) == (Version(version) < Version("2.6"))
    if error.commit:
        assert releases.of_commit(error.commit) == version
    [warning] = mentions(f"UserWarning: {said.falls_back.format('aten::median.dim_values')}")
    assert (warning.kind, warning.name) == ("fallback", "median.dim_values")
    if said.not_implemented_distributed:
        text = said.not_implemented_distributed.format("c10d::allreduce_")
        [error] = mentions(text)
        assert (error.namespace, error.name, error.commit) == ("c10d", "allreduce_", release.git)
        assert "Thedistributedoperator" in error.wordings


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "The operator 'aten::index.Tensor' is not current implemented for the MPS device.",
            "index.Tensor",
        ),
        (
            "The operator aten::cumsum.out is not currently implemented for the MPS device",
            "cumsum.out",
        ),
        ("The operator `aten::lstsq` is not currently implemented for the MPS device", "lstsq"),
        (
            "The operator **'aten::_index\\_put\\_impl_'** is not current implemented for the MPS device",
            "_index_put_impl_",
        ),
        (
            "The operator &#39;aten::mode&#39; is not currently implemented for the MPS device",
            "mode",
        ),
        (
            "The operator &quot;aten::mode&quot; is not currently implemented for the MPS device",
            "mode",
        ),
        ("aten::cholesky not implemented for MPS", "cholesky"),
        ("aten::cholesky is not supported on MPS", "cholesky"),
        (
            "RuntimeError(\"The operator 'aten::mode' is not currently implemented for the MPS device.",
            "mode",
        ),
    ],
)
def test_lost_quotes_markup_and_short_forms_do_not_matter(text: str, name: str) -> None:
    assert [each.name for each in mentions(text)] == [name]


@pytest.mark.parametrize("width", range(24, 130))
def test_a_terminal_may_wrap_anywhere(width: int) -> None:
    broken = "\n".join(ERROR[at : at + width] for at in range(0, len(ERROR), width))
    [error] = mentions(broken)
    assert (error.kind, error.name) == ("missing", "_linalg_solve_ex.result")
    assert error.commit == releases.commits()["2.7.0"]


@pytest.mark.parametrize("prefix", ["[rank0]: ", "# ", "> ", "stderr: ", "│ ", "[rank1]: stderr: "])
def test_every_line_may_have_a_prefix(prefix: str) -> None:
    lines = textwrap.wrap(ERROR, 60)
    [error] = mentions("\n".join(prefix + line for line in lines))
    assert (error.name, error.commit) == ("_linalg_solve_ex.result", releases.commits()["2.7.0"])


def test_a_commit_belongs_to_its_own_message_and_may_be_given_apart() -> None:
    before = "The operator 'aten::mode' is not currently implemented for the MPS device.\n"
    last, first = mentions(before + ERROR)
    assert (first.name, first.commit) == ("mode", None)
    assert last.commit == releases.commits()["2.7.0"]
    [apart] = mentions(f"{before}Use case: labels.\n\nCommit hash: {releases.commits()['2.6.0']}")
    assert apart.commit == releases.commits()["2.6.0"]


def test_the_last_mention_counts_and_its_words_are_those_of_one_message() -> None:
    text = f"{ERROR}\nother lines, natively on MPS\n{ERROR}\nand more on MPS"
    [error] = mentions(text)
    assert text[error.start :].count("not currently implemented") == 1
    assert "\n" not in text[error.start : error.end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Could not run 'aten::empty.memory_format' with arguments from the 'SparseMPS' backend.",
            ("backend", "aten::empty.memory_format", "SparseMPS"),
        ),
        (
            "Could not\nrun 'aten::addmm' with argu\nments from the SparseCsrMPS backend.",
            ("backend", "aten::addmm", "SparseCsrMPS"),
        ),
        ("\"addmm_impl_cpu_\" not implemented for 'Half'", ("dtype", "addmm_impl_cpu_", "Half")),
        (
            "RuntimeError: addmm_impl_cpu_ not implemented for Half",
            ("dtype", "addmm_impl_cpu_", "Half"),
        ),
        (
            "&quot;LayerNormKernelImpl&quot; not implemented for &#x27;Half&#x27;",
            ("dtype", "LayerNormKernelImpl", "Half"),
        ),
        (
            "\"add_stub\" not implemented\nfor 'Float8_e4m3fn'",
            ("dtype", "add_stub", "Float8_e4m3fn"),
        ),
        (
            "MPS: nonzero op is supported natively starting from macOS 13.0. Falling back on CPU.",
            ("old macos", "aten::nonzero", "13.0"),
        ),
        (
            "torch.topk support for k>16 by MPS on MacOS 13+, please upgrade",
            ("old macos", "aten::topk", "13.0"),
        ),
    ],
)
def test_other_messages_are_read(text: str, expected: tuple[str, str, str]) -> None:
    [mention] = mentions(text)
    assert (*seen(text)[0], mention.detail) == expected


@pytest.mark.parametrize(
    "text",
    [
        "at::native::copy is not supported on MPS",
        "TypeError: '<' not implemented for 'int'",
        "this feature is not implemented for Long sequences",
        "the MPS device is fast",
        "aten::mode runs on the CPU; MPS has no such operator",
        "NotImplementedError: Could not run 'aten::mode' with the arguments given",
    ],
)
def test_prose_is_no_message(text: str) -> None:
    assert mentions(text) == ()


RUNS = [
    "MPS ", "::", "aten::", "aten::a MPS ", "Could not run ", "not implemented for ", "natively ",
    "'", " ", "\n[rank0]: ", "[rank0]: ", "aten::isnotisnot MPS ", '"a_b" not implemented for ', "commit hash ",
]  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_long_runs_are_read_to_the_end(run: str) -> None:
    text = run * (2_000_000 // len(run))
    assert mentions(text) == ()
    assert seen(f"{text}\n{ERROR}") == [("missing", "aten::_linalg_solve_ex.result")]


def test_the_work_is_limited_however_many_messages_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = []
    squeeze = operator_messages.squeeze

    def counted(text: str) -> str:
        done.append(len(text))
        return squeeze(text)

    monkeypatch.setattr(operator_messages, "squeeze", counted)
    one = "The operator 'aten::op{}' is not currently implemented for the MPS device\n"
    work = []
    for count in (10_000, 40_000):
        found = mentions("".join(one.format(number) for number in range(count)))
        assert found[0].name == f"op{count - 1}"
        assert len(found) == 40
        work.append(sum(done))
        done.clear()
    assert work[1] < 1.1 * work[0] < 1_000_000
