"""Parsing of what is to be run."""

from __future__ import annotations

import pytest

from metalassay.errors import UserError
from metalassay.workers import specs
from metalassay.workers.specs import Spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("transit-cnn", Spec("workload", "transit-cnn")),
        ("gpt-tiny:infer", Spec("workload", "gpt-tiny", "infer")),
        (
            "transit-cnn:train:batch=8,threads=2",
            Spec("workload", "transit-cnn", batch=8, threads=2),
        ),
        ("transit-cnn:malloc=tuned", Spec("workload", "transit-cnn", malloc="tuned")),
        (
            "gpt-tiny:train:framework=mlx",
            Spec("workload", "gpt-tiny", framework="mlx"),
        ),
        ("a/bench.py::step", Spec("function", "a/bench.py", function="step")),
        ("bench.py::step:device=mps", Spec("function", "bench.py", function="step", device="mps")),
    ],
)
def test_a_spec_is_parsed_and_written_back(text: str, spec: Spec) -> None:
    assert specs.parse(text) == spec
    assert specs.parse(spec.text()) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a workload"),
        ("transit-cnn:learn", "unknown mode 'learn'"),
        ("transit-cnn:train:batch=0", "batch=0"),
        ("transit-cnn:train:batch=x", "batch=x"),
        ("transit-cnn:train:batch=1,batch=2", "option 'batch' given twice"),
        ("transit-cnn:train:threads=100000", r"threads=100000 \(at most threads=[0-9]+ here\)"),
        ("transit-cnn:train:colour=red", "unknown option 'colour'"),
        ("transit-cnn:train:dtype=int8", "dtype=int8"),
        ("transit-cnn:train:batch=1:x", "not a workload"),
        ("bench.py::step,malloc=tuned", "options after a colon: bench.py::step:malloc=tuned"),
        ("bench.py,malloc=tuned", "is neither a file nor a function in one"),
        ("bench.py::", "write FILE.py::FUNCTION"),
        ("bench.py::step:batch=3", "unknown option 'batch'"),
        ("bench.py::step:framework=mlx", "unknown option 'framework'"),
        ("gpt-tiny:framework=jax", r"framework=jax \(choose one of torch, mlx\)"),
        ("gpt-tiny:framework=mlx,dtype=bfloat16", "dtype=bfloat16 is not for mlx"),
        ("gpt-tiny:framework=mlx,threads=2", "threads=2 is not for mlx"),
        ("gpt-tiny:framework=mlx,extra=3", "extra=3 is not for mlx"),
        ("gpt-tiny:framework=mlx,device=cuda", "mlx is not timed on cuda"),
    ],
)
def test_an_invalid_spec_is_reported(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        specs.parse(text)
