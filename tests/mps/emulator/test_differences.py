"""What the emulator does not hold against a release, from the data; no torch is needed."""

from __future__ import annotations

from metalassay.mps.emulator import differences
from metalassay.mps.operators import oracle


def test_the_installed_release_has_no_differences() -> None:
    release = oracle.load("2.13")
    found = differences.between(release, "2.13.0+cpu", fallback=False)
    assert found == differences.Differences(release.kernels)


def test_a_call_that_only_the_installed_torch_makes_is_known() -> None:
    found = differences.between(oracle.load("2.5"), "2.13.0", fallback=False)
    assert found.not_called["aten::_safe_softmax"] == ["isneginf"]
    assert found.not_called["aten::scaled_dot_product_attention"] == ["isneginf"]
    assert "aten::_safe_softmax" not in found.cannot_tell


def test_what_a_release_does_not_have_is_not_judged() -> None:
    found = differences.between(oracle.load("2.3"), "2.13.0", fallback=False)
    assert found.cannot_tell["aten::_safe_softmax"] == ["isneginf"]
    assert "_fused_rms_norm" in found.absent
    assert not found.absent & oracle.load("2.3").overloads


def test_an_operator_that_became_a_composite_is_rejected_unless_it_falls_back() -> None:
    old = oracle.load("2.3")
    strict = differences.between(old, "2.13.0", fallback=False)
    assert strict.rejected
    assert strict.rejected <= old.missing
    assert not differences.between(old, "2.13.0", fallback=True).rejected


def test_an_unknown_torch_has_no_known_differences() -> None:
    release = oracle.load("2.8")
    assert differences.between(release, "99.0", fallback=False) == differences.Differences(
        release.kernels
    )


def test_the_dtypes_of_a_release_are_given_as_torch_names_them() -> None:
    refused, taken = differences.dtype_settings("2.13.0")
    assert "expect nn.functional.linear to fail with it" in refused["aten::linear"]["Long"]
    assert taken["aten::ceil"] == ["Bool"]
    assert differences.dtype_settings("2.5.1") == ({}, {})
