"""The tokenizer of a run: trained for a new run, and stored beside its checkpoints for later ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import UserError
from metalassay.training.config_check import config_hash
from metalassay.training.gpt.dialogues import END, START, Faults, lines

TOKENIZER = "tokenizer.json"
TRAINED_ON = 64 * 2**20  # bytes at the start of a file of dialogues


@dataclass(frozen=True)
class RunTokenizer:
    """The tokenizer of a run, and its ``digest``, which is part of the run's configuration."""

    tokenizer: Any
    digest: str

    def files(self) -> dict[str, str]:
        """Return the file to write beside the checkpoints, by its name."""
        return {TOKENIZER: self.tokenizer.to_str(pretty=True)}


def train(data: Path, vocabulary: int, faults: Faults) -> RunTokenizer:
    """Train a byte-level BPE tokenizer of at most ``vocabulary`` tokens; nothing is written.

    It reads the first ``TRAINED_ON`` bytes of ``data``. Any text can be encoded: all 256 bytes are
    tokens. Malformed lines are skipped, and left for the training to count, unless ``faults`` is
    strict: then one is an error.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,  # a token that occurs once would only be memorised
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(data, faults), trainer)
    return RunTokenizer(tokenizer, _digest(tokenizer.to_str()))


def _texts(path: Path, faults: Faults) -> Iterator[str]:
    for line in lines(path):
        if line.next_offset > TRAINED_ON:
            return
        if line.text is not None:
            yield line.text
        elif faults.strict:
            faults.add(line)


def read(folder: Path, config: Mapping[str, Any]) -> RunTokenizer:
    """Return the tokenizer in ``folder``, after checking that a run of ``config`` was trained with it.

    Raises ``UserError`` if it is missing, damaged or a different one, which would change the model's
    input.
    """
    path = folder / TOKENIZER
    next_step = f"restore the {TOKENIZER} of this run, or train again in another --output folder"
    try:
        content = files.content(path).decode()
        # In the library's compact form: another release may format the same content differently.
        compact = json.dumps(json.loads(content), separators=(",", ":"), ensure_ascii=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", next_step) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {error}", next_step) from error
    digest = _digest(compact)
    if digest != config.get("tokenizer"):
        raise UserError(f"{path} is not the tokenizer that this run was trained with", next_step)
    from tokenizers import Tokenizer

    return RunTokenizer(Tokenizer.from_str(content), digest)


def _digest(compact: str) -> str:
    return config_hash({"json": compact})
