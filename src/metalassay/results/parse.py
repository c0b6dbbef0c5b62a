"""Reads one result file: verdicts, benchmarks of ours or of another project, a search, an experiment, a mark.

Nothing in a file is taken on trust. Besides types and ranges, what it states twice must agree: a
verdict with the outcomes of its tests, the median with the times of the rounds.
"""

from __future__ import annotations

from collections.abc import Mapping

from metalassay.claims import evidence
from metalassay.claims.evidence import Evidence
from metalassay.fields import Field, FieldError, parse_json
from metalassay.results import (
    ask_file,
    calibration_file,
    max_batch_file,
    measurement,
    smoke_file,
    suite_file,
    unfinished,
    verdict_file,
)
from metalassay.results.ask_file import Asked
from metalassay.results.max_batch_file import LargestBatch
from metalassay.results.measurement import Measurement
from metalassay.results.smoke_file import SmokeSet
from metalassay.results.suite_file import SuiteFile
from metalassay.results.unfinished import Unfinished
from metalassay.results.verdict_file import VersionSet

BENCHMARKS = "metalassay.benchmarks"
ROWS = "metalassay.rows"
CHECKPOINT = "metalassay.checkpoint"
PROFILE = "metalassay.profile"
_SCHEMA_NUMBER = "1"

__all__ = [
    "BENCHMARKS",
    "CHECKPOINT",
    "PROFILE",
    "ROWS",
    "Asked",
    "Evidence",
    "LargestBatch",
    "Measurement",
    "SmokeSet",
    "SuiteFile",
    "Unfinished",
    "VersionSet",
    "parse",
]


def parse(
    content: bytes, file: str
) -> (
    VersionSet
    | SmokeSet
    | Unfinished
    | LargestBatch
    | Asked
    | Evidence
    | SuiteFile
    | tuple[Measurement, ...]
):
    """Read the content of one result file; ``file`` is its name as the report shows it.

    Return () for a file of ours that holds no result. Raises ``FieldError``, and nothing else, for
    content that is not a usable result.
    """
    document = Field(parse_json(content))
    top = document.value if isinstance(document.value, dict) else {}
    schema = top.get("schema")
    schema = schema if isinstance(schema, str) else ""
    if schema.startswith(("metalassay.upstream/", f"{ROWS}/")):
        return ()  # written by `nox -s upstream` and `report --json`
    if _is_training_file(schema, top):
        return ()  # the log of a training is read with --log, its checkpoints with --resume
    if schema.startswith(f"{verdict_file.NAME}/"):
        _check_schema(document.get("schema"), verdict_file.NAME)
        return verdict_file.read(document, file)
    if schema.startswith(f"{smoke_file.NAME}/"):
        _check_schema(document.get("schema"), smoke_file.NAME)
        return smoke_file.read(document)
    if schema.startswith(f"{unfinished.NAME}/"):
        _check_schema(document.get("schema"), unfinished.NAME)
        return unfinished.read(document, file)
    if schema.startswith(f"{max_batch_file.NAME}/"):
        _check_schema(document.get("schema"), max_batch_file.NAME)
        return max_batch_file.read(document, file)
    if schema.startswith(f"{ask_file.NAME}/"):
        _check_schema(document.get("schema"), ask_file.NAME)
        return ask_file.read(document, file)
    if schema.startswith(f"{evidence.NAME}/"):
        _check_schema(document.get("schema"), evidence.NAME)
        return evidence.read(document, file)
    if _is_suite(top):
        _check_schema(document.get("metalassay").get("schema"), suite_file.NAME)
        return suite_file.read(document, file)
    if "metalassay" in top:
        _check_schema(document.get("metalassay").get("schema"), BENCHMARKS)
        return tuple(measurement.read(document, file))
    if "benchmarks" in top and "machine_info" in top:
        return suite_file.read_plain(document, file)
    raise FieldError("JSON, but neither a metalassay verdict file nor a benchmark run")


def _is_suite(top: Mapping[str, object]) -> bool:
    """Return whether `pytest --assay` wrote a file, beside the benchmarks of any project."""
    about = top.get("metalassay")
    schema = about.get("schema") if isinstance(about, dict) else None
    return isinstance(schema, str) and schema.startswith(f"{suite_file.NAME}/")


def _is_training_file(schema: str, top: Mapping[str, object]) -> bool:
    """Return whether a file is one of those that `metalassay train` writes beside its log."""
    if schema.startswith((f"{CHECKPOINT}/", f"{PROFILE}/", f"{calibration_file.NAME}/")):
        return True
    if type(top.get("steps")) is int and isinstance(top.get("checkpoint"), str):
        return True  # result.json
    if isinstance(top.get("trainer"), str) and type(top.get("steps")) is int:
        return True  # settings.json and result.json of RLHF
    # tokenizer.json, in the format of the tokenizers library.
    return isinstance(top.get("added_tokens"), list) and isinstance(top.get("model"), dict)


def _check_schema(schema: Field, name: str) -> None:
    text = schema.text()
    number = text.removeprefix(f"{name}/")
    if number == text or not (number.isascii() and number.isdigit()):
        raise schema.wrong(f"{name}/{_SCHEMA_NUMBER}")
    if number != _SCHEMA_NUMBER:
        raise FieldError(f"written by a newer metalassay (schema {text}); upgrade to read it")
