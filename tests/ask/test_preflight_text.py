"""The words of a preflight: what is lacking, where, since when it is not, and what is not known."""

from __future__ import annotations

from typing import Any

from metalassay.ask import preflight_text

NOTHING: dict[str, Any] = {
    "version": "2.13.0", "note": "", "calls": 1200, "operators": 9, "findings": [], "refusals": [], "wide": [], "unknown": [],
    "custom": [],
}  # fmt: skip
HERE = {"file": "/x/mine.py", "line": 3, "function": "forward", "node": "", "count": 2}
QR = {"operator": "linalg_qr.out", "states": {"2.8.0": "missing"}, "counts": {"2.8.0": 2}, "cured": True,
      "fixed_in": "2.12.1", "inside": [], "places": [HERE]}  # fmt: skip


def test_nothing_is_lacking() -> None:
    assert next(preflight_text.lines(NOTHING)) == (
        "every operator has a kernel on MPS with torch 2.13.0 (9 operators in 1,200 calls, recorded on the CPU)"
    )


def test_what_is_not_known_is_said() -> None:
    noted = {**NOTHING, "note": "judged for another", "unknown": ["x"], "custom": ["my::op"]}
    said = "\n".join(preflight_text.lines(noted))
    assert said.startswith("judged for another\n")
    assert "cannot tell for torch 2.13.0: x" in said
    assert "not judged: my::op" in said


def test_missing_and_on_the_cpu() -> None:
    always = {**QR, "operator": "unique_dim", "states": {"2.8.0": "fallback"}, "fixed_in": None,
              "inside": ["unique|x"],
              "places": [{**HERE, "node": "UniqueBackward0"}, {**HERE, "file": "", "function": "the optimizer"}, HERE]}  # fmt: skip
    said = list(preflight_text.lines({**NOTHING, "version": "2.8.0", "findings": [QR, always]}))
    assert said[0] == (
        "MISSING: linalg_qr.out (NotImplementedError; 2 calls): mine.py:3 in forward;"
        " PYTORCH_ENABLE_MPS_FALLBACK=1 runs it on the CPU; fixed by torch 2.12.1"
    )
    assert said[1] == (
        "ON THE CPU: unique_dim (with a warning; 2 calls), inside unique: mine.py:3 in forward, backward"
        " (UniqueBackward0), the optimizer and 1 more; no torch version fixes it"
    )
    uncured = {**QR, "cured": False}
    assert "FALLBACK=1 does not help" in next(
        preflight_text.lines({**NOTHING, "version": "2.8.0", "findings": [uncured]})
    )


def test_what_only_other_releases_lack_is_no_verdict() -> None:
    said = list(preflight_text.lines({**NOTHING, "findings": [QR]}))
    assert said[0].startswith("every operator has a kernel")
    assert said[1] == "not with every torch: linalg_qr.out (fixed by torch 2.12.1)"


def test_what_a_kernel_refuses() -> None:
    refused = {
        "operator": "conv2d", "what": "int64", "reasons": {"2.13.0": "a Mac says: no"}, "counts": {"2.13.0": 1},
        "places": [HERE],
    }  # fmt: skip
    said = list(preflight_text.lines({**NOTHING, "refusals": [refused]}))
    assert said[0] == "REFUSED: conv2d with int64 (1 call): mine.py:3 in forward; a Mac says: no"
    assert said[1].startswith("judged for torch 2.13.0")
    other = {**refused, "reasons": {"2.8.0": "a Mac says: no"}, "counts": {"2.8.0": 1}}
    assert next(preflight_text.lines({**NOTHING, "refusals": [other]})).startswith("every operator")
