"""How a preflight is printed."""

from __future__ import annotations

from traces import call, judged

from metalassay.mps import ported
from metalassay.mps.preflight import predict, text


def test_the_text_gives_version_count_line_and_fix() -> None:
    preflight = judged(
        call("mode", count=3, line=7),
        call("linalg_qr", count=2, line=9, node="LinalgQrBackward0"),
        call("ones", wide=True, line=11),
    )
    printed = text.as_text(preflight, "2.5.1")
    assert "On MPS with torch 2.5.1: 2 operators would fail, float64 at 1 line." in printed
    assert "  mode  3 calls; no torch version fixes it" in printed
    assert "  linalg_qr.out  2 calls; fixed by torch 2.12.1" in printed
    assert "2 x /home/user/train.py:9 in step, backward (LinalgQrBackward0)" in printed
    assert "    2.12.1 to 2.15.0      1      0\n" in printed
    assert [line.split()[0] for line in printed.splitlines() if line.endswith("  <")] == ["2.0.1"]
    assert "linalg_qr" in text.as_text(preflight, "2.13.0").partition("not with older")[2]


def test_an_operator_inside_another_is_shown_with_it() -> None:
    printed = text.as_text(judged(call("put"), call("put", "put_")), "2.13.0")
    assert "inside put in the torch that ran; another version may differ" in printed


def test_only_the_most_frequent_lines_are_shown() -> None:
    calls = [call("mode", line=line, count=line) for line in (1, 2, 3)]
    printed = text.as_text(judged(*calls), "2.13.0", places=2)
    assert "train.py:3" in printed
    assert "train.py:1 " not in printed
    assert "      and 1 more line\n" in printed


def test_a_program_without_problems_is_called_fine() -> None:
    printed = text.as_text(judged(call("add.Tensor")), "2.13.0")
    assert "On MPS with torch 2.13.0: every operator has a kernel." in printed


def test_the_text_says_whether_the_fallback_helps_and_what_it_copies() -> None:
    cured = text.as_text(judged(call("mode", count=20_000)), "2.13.0")
    assert "PYTORCH_ENABLE_MPS_FALLBACK=1 runs it on the CPU; about 2.0 MB copied" in cured
    helpless = text.as_text(judged(call("slow_conv_transpose2d.out")), "2.13.0")
    assert "PYTORCH_ENABLE_MPS_FALLBACK=1 does not help" in helpless
    assert "copied" not in helpless


def test_the_text_says_what_was_recorded_besides_and_what_was_not() -> None:
    trace = {"torch": "2.13.0", "ended": "", "calls": [call("mm")], "ported": []}
    counts = {"replaced": 1, "threads": 2, "processes": 1, "lost": 3}
    printed = text.as_text(predict.judge({**trace, **counts}), "2.13.0")
    assert "Recorded too: 2 other threads and 1 process that it started." in printed
    assert "Not recorded: 3 processes that it started" in printed
    assert "names the device mps itself: 1 call got the CPU." in printed


def test_no_line_is_wider_than_80_columns() -> None:
    noted = [
        {"id": row["id"], "file": "/a/b.py", "line": 1, "function": "f", "count": 1}
        for row in ported.rows()
    ]
    trace = {
        "torch": "2.13.0",
        "ended": "the program ended with RuntimeError: " + "word " * 40,
        "calls": [
            call("mode", count=3),
            call("put", "put_"),
            call("ones", wide=True),
            call("ctc_loss", "_ctc_loss"),
            call("_adaptive_avg_pool2d", limit="divisible-input", count=2),
        ],
        "ported": noted,
        "replaced": 1,
        "threads": 2,
        "processes": 1,
        "lost": 3,
    }
    printed = text.as_text(predict.judge(trace), "2.5.1")
    assert [line for line in printed.splitlines() if len(line) > 80] == []
    assert "CUDA without effect" in " ".join(printed.split())
    assert "1 would refuse a dtype or sizes" in " ".join(printed.split())


def test_what_a_kernel_refuses_is_listed_with_the_reason_and_the_line() -> None:
    calls = [call("linear", dtype="int64", count=3), call("_adaptive_avg_pool2d", limit="x")]
    printed = text.as_text(judged(*calls), "2.13.0")
    assert (
        "\n  linear with int64\n"
        "      3 calls; PyTorch's own tests expect nn.functional.linear to fail with it\n"
        "      3 x " in printed
    )
    assert "_adaptive_avg_pool2d" not in printed  # no such limit
    assert "refused by a kernel" not in text.as_text(judged(*calls), "2.5.1")
