"""How a preflight is printed."""

from __future__ import annotations

from traces import call, judged

from metalassay.mps.preflight import text


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
