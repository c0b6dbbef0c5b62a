"""The tokenizer of a run: made anew for a new run, and for an old one read from beside its checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay.errors import UserError
from metalassay.training.config_check import config_hash
from metalassay.training.gpt import dialogues
from metalassay.training.gpt.dialogues import Faults

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Kept:
    """A tokenizer, and the ``digest`` of it that the configuration of a run holds."""

    tokenizer: Any
    digest: str

    def files(self) -> dict[str, str]:
        """Return the file to lay beside the checkpoints, by its name."""
        return {TOKENIZER: self.tokenizer.to_str(pretty=True)}


def train(data: Path, vocabulary: int, faults: Faults) -> Kept:
    """Train a tokenizer on ``data``; nothing is written yet."""
    made = dialogues.train_tokenizer(data, vocabulary, faults)
    return Kept(made, _digest(made.to_str()))


def read(folder: Path, config: Mapping[str, Any]) -> Kept:
    """Return the tokenizer in ``folder``, which is the one that a run of ``config`` began with.

    Raises ``UserError`` where it is missing, broken or another one: the model would read other words.
    """
    path = folder / TOKENIZER
    instead = f"put the {TOKENIZER} of this run back, or train anew in another --output folder"
    try:
        content = path.read_text("utf-8")
        # As the library writes it without line breaks: a later one may write the same otherwise.
        compact = json.dumps(json.loads(content), separators=(",", ":"), ensure_ascii=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", instead) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is broken: {error}", instead) from error
    digest = _digest(compact)
    if digest != config.get("tokenizer"):
        raise UserError(f"{path} is not the tokenizer that this run was trained with", instead)
    from tokenizers import Tokenizer

    return Kept(Tokenizer.from_str(content), digest)


def _digest(compact: str) -> str:
    return config_hash({"json": compact})
