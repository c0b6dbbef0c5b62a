"""Write the JSON schemas of the files that metalassay writes for others: docs/schema/*.json.

    python tools/json_schemas.py           write them
    python tools/json_schemas.py --check   fail if they are not as the code says

They follow from the tables of `metalassay.results.submit_schema`: which fields there are, and of which type. A reader
may rely on the types and on REQUIRED; other fields may come, and a text may be longer than today's. What a value
means is said by the modules named in each schema's "description".
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalassay.results import (
    allowed,
    ask_file,
    max_batch_file,
    smoke_file,
    submit_schema,
    verdict_file,
)
from metalassay.results.submit_schema import (
    Each,
    Flag,
    Keys,
    Number,
    OneOf,
    Prose,
    Schema,
    Text,
)

FOLDER = Path(__file__).resolve().parents[1] / "docs/schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASK: Schema = {
    "schema": Text(allowed.one_of(ask_file.SCHEMA)),
    "file": submit_schema.PROSE,
    "started": submit_schema.MOMENT,
    "about": {
        "device": submit_schema.DEVICE,
        "batch_size": submit_schema.COUNT,
        "parameters": Number(),
        "stand_in": submit_schema.FLAG,
        "torch": submit_schema.VERSION,
        "threads": submit_schema.COUNT,
        "devices": Keys(allowed.one_of("cpu", "mps", "cuda"), submit_schema.PROSE),
        "emulated": Keys(allowed.one_of("cpu", "mps", "cuda"), submit_schema.FLAG),
    },
    "versions": submit_schema.VERSIONS,
    "hardware": submit_schema.HARDWARE,
    **{key: {"text": Each(submit_schema.PROSE)} for key in ask_file.TITLES},
}
"""Of the answers, what a reader may rely on: their lines. It is not submitted, so it has no table elsewhere."""
WRITTEN: Mapping[str, tuple[Schema, str, Mapping[str, tuple[str, ...]]]] = {
    "benchmarks-1": (
        submit_schema.BENCHMARKS,
        "A run of the benchmarks: the JSON of pytest-benchmark (its format: pytest-benchmark.readthedocs.io), with the"
        " machine in machine_info.hardware, the facts of each benchmark in extra_info, and the run's conditions and"
        " self-test in metalassay. Read by metalassay.results.parse.",
        {
            "": ("machine_info", "benchmarks", "datetime", "versions", "metalassay"),
            "machine_info": ("hardware",),
            "benchmarks": ("name", "params", "extra_info", "stats"),
            "benchmarks.extra_info": ("workload", "device"),
            "benchmarks.stats": ("median", "rounds"),
            "metalassay": ("schema",),
        },
    ),
    "compat-1": (
        submit_schema.VERDICTS,
        "The verdicts on one row of the matrix: versions, machine, and for each known bug whether it shows. Written by"
        " compat/conftest.py, read by metalassay.results.verdict_file.",
        {
            "": ("schema", "set", "started", "versions", "hardware", "bugs"),
            "set": ("id",),
            "bugs": ("id", "verdict"),
        },
    ),
    "smoke-1": (
        submit_schema.SMOKE,
        "How far a fresh installation gets: imports, trainers, and a resumed training. Read by"
        " metalassay.results.smoke_file.",
        {"": ("schema", "set", "stages")},
    ),
    "max-batch-1": (
        submit_schema.MAX_BATCH,
        "A search for the largest batch that fits: every try. Read by metalassay.results.max_batch_file.",
        {"": ("schema", "workload", "mode", "device", "tries", "hardware")},
    ),
    "ask-1": (
        ASK,
        "The answers of `metalassay ask` about a model of a user: what was asked about, and under the name of each"
        " question its answer in words (text) and in figures. Read by metalassay.results.ask_file.",
        {"": ("schema", "file", "started", "about", "versions", "hardware"), "about": ("device",)},
    ),
}


def of(schema: Schema, required: Mapping[str, tuple[str, ...]], place: str = "") -> dict[str, Any]:
    """Return the JSON schema of a value; null is allowed except at the top."""
    match schema:
        case Text() | Prose():
            return {"type": ["string", "null"]}
        case Number():
            return {"type": ["number", "null"]}
        case Flag():
            return {"type": ["boolean", "null"]}
        case Each(of=each):
            return {"type": ["array", "null"], "items": of(each, required, place)}
        case Keys(of=each):
            return {"type": ["object", "null"], "additionalProperties": of(each, required, place)}
        case OneOf(options=options):
            return {"anyOf": [of(each, required, place) for each in options]}
    members = {
        name: of(each, required, f"{place}.{name}".lstrip(".")) for name, each in schema.items()
    }
    needed = {"required": list(required[place])} if place in required else {}
    return {"type": "object" if needed else ["object", "null"], "properties": members, **needed}


def documents() -> dict[str, str]:
    """Return the text of each file by its name."""
    names = {
        "compat-1": verdict_file.SCHEMA,
        "smoke-1": smoke_file.SCHEMA,
        "max-batch-1": max_batch_file.SCHEMA,
        "ask-1": ask_file.SCHEMA,
    }
    found = {}
    for name, (schema, description, required) in WRITTEN.items():
        document: dict[str, Any] = {
            "$schema": DIALECT,
            "title": f"metalassay {name}",
            "description": description,
        }
        document |= of(schema, required)
        if name in names:
            document["properties"]["schema"] = {"const": names[name]}
        found[f"{name}.json"] = json.dumps(document, indent=1) + "\n"
    return found


def main() -> int:
    """Write the schemas, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    wrong = 0
    for name, text in documents().items():
        path = FOLDER / name
        if options.check:
            if not path.is_file() or path.read_text("utf-8") != text:
                print(
                    f"{path} is not as the code says: python tools/json_schemas.py", file=sys.stderr
                )
                wrong = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
