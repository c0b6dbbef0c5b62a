"""The tokenizer of a run: trained for a new run, and stored beside its checkpoints for later ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalassay import files
from metalassay.errors import UserError
from metalassay.training.config_check import config_hash
from metalassay.training.gpt import corpus
from metalassay.training.gpt.dialogues import END, START, Faults

TOKENIZER = "tokenizer.json"
TRAINED_ON = 64 * 2**20  # bytes at the start of a file of dialogues
SAMPLED = 256 * 2**10  # characters of which the coverage is told


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
    before = file = last = 0  # bytes of earlier files, the file, and bytes of it
    for line in corpus.documents(path):
        if line.file != file:
            before, file = before + last, line.file
        last = line.next_offset
        if before + last > TRAINED_ON:
            return
        if line.text is not None:
            yield line.text
        elif faults.strict:
            faults.add(line)


@dataclass(frozen=True)
class Coverage:
    """How a tokenizer writes a text: its characters and tokens, and the characters that it has to split.

    A byte-level tokenizer knows every character, but has no token for each: such a one is written as two
    to four tokens of bytes, and costs as much of the context. ``chinese`` are the ideographs.
    """

    characters: int
    tokens: int
    split: int
    chinese: int
    chinese_split: int

    def sentence(self) -> str:
        """Return what it means, in one line."""
        share = self.split / max(self.characters, 1)
        chinese = ""
        if self.chinese:
            chinese = f" (of {self.chinese:,} Chinese ones {self.chinese_split / self.chinese:.1%})"
        return (
            f"the tokenizer writes {self.characters:,} characters of the data as {self.tokens:,} tokens;"
            f" {share:.1%} of them{chinese} have no token and are split into bytes, none is unknown"
        )


def coverage(tokenizer: Any, data: Path) -> Coverage:
    """Return how ``tokenizer`` writes the first ``SAMPLED`` characters of ``data``."""
    characters = tokens = split = chinese = chinese_split = 0
    for line in corpus.documents(data):
        if line.text is None:
            continue
        text = line.text.replace(START, " ").replace(END, " ")
        encoding = tokenizer.encode(text)
        covered = [0] * len(text)
        for start, end in encoding.offsets:
            for at in range(start, end):
                covered[at] += 1
        characters, tokens = characters + len(text), tokens + len(encoding.ids)
        for character, times in zip(text, covered, strict=True):
            ideograph = (
                "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff"
            )
            split += times > 1
            chinese += ideograph
            chinese_split += ideograph and times > 1
        if characters >= SAMPLED:
            break
    return Coverage(characters, tokens, split, chinese, chinese_split)


def decode(tokenizer: Any, tokens: Iterable[int]) -> str:
    """Return the text of ``tokens`` without the markers, and without characters that are not whole.

    A token may be a part of a character. The library writes each that is left alone as U+FFFD; here it is
    left out, as is what the end of ``tokens`` cuts in half.
    """
    raw = bytearray()
    for token in tokens:
        text = tokenizer.id_to_token(token)
        if text is not None and text not in (START, END):
            raw += b"".join(_BYTES.get(character, character.encode()) for character in text)
    return raw.decode(errors="ignore")


def _alphabet() -> dict[str, bytes]:
    """Return the byte for each of the 256 characters that stand for bytes in a byte-level tokenizer.

    Printable bytes of Latin-1 stand for themselves, the others for characters from U+0100 on
    (Radford et al. 2019).
    """
    themselves = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in themselves]
    found = {chr(byte): bytes([byte]) for byte in themselves}
    return found | {chr(256 + index): bytes([byte]) for index, byte in enumerate(others)}


_BYTES = _alphabet()


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
