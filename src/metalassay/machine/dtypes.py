"""The names of the dtypes that workloads run in, without importing torch."""

from __future__ import annotations

NAMES = ("float32", "bfloat16", "float16")
