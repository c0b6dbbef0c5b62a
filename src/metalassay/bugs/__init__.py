"""The catalogue of known bugs, matching a traceback against it, and the verdict on its tests."""

from metalassay.bugs.catalogue import (
    MPS,
    REPORTED_ONLY,
    Bug,
    Fix,
    Symptom,
    Where,
    get,
    load,
    parse,
    revision,
    unique,
    where_text,
)

__all__ = [
    "MPS",
    "REPORTED_ONLY",
    "Bug",
    "Fix",
    "Symptom",
    "Where",
    "get",
    "load",
    "parse",
    "revision",
    "unique",
    "where_text",
]
