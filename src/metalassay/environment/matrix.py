"""The rows of matrix.toml, as records for the verdict files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from metalassay.errors import UserError


def get(root: Path, row_id: str | None) -> dict[str, Any]:
    """Return the record of a row of ``root``/matrix.toml; without an id, of the environment at hand.

    Raises ``UserError`` for an id that the file does not have.
    """
    if row_id is None:
        return {
            "id": "as installed",
            "python": None,
            "requires": [],
            "reason": "the environment at hand, not a row of the matrix",
            "tags": [],
        }
    rows = load(root)
    if row_id not in rows:
        raise UserError(f"matrix.toml has no row {row_id!r}", "see the rows with: nox -l")
    return rows[row_id]


def load(root: Path) -> dict[str, dict[str, Any]]:
    """Return all rows of ``root``/matrix.toml by id, in the order of the file.

    Raises ``UserError`` when there is no such file or it is no TOML.
    """
    path = root / "matrix.toml"
    try:
        with path.open("rb") as stream:
            rows = tomllib.load(stream)["row"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing", "run from a checkout of metalassay") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}", "mend the line") from None
    return {
        row["id"]: {
            "id": row["id"],
            "python": row.get("python"),
            "requires": row["requires"],
            "reason": row["reason"],
            "tags": row["tags"],
        }
        for row in rows
    }
