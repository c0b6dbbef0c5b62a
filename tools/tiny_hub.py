"""Make what examples would load from a hub: tiny models with random weights, tokenizers, a data set, metrics.

python tools/tiny_hub.py TEXT... [--glue FOLDER]

The tokenizers learn their words from the texts. A library that loads "bert-base-cased" takes a folder of that name
in the current one first, so the examples need no change. --glue makes the data set GLUE, with its task MRPC, from
the samples of it in a folder. Metrics in metrics/, where huggingface/evaluate has them, go to evaluate's cache.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
from pathlib import Path

import huggingface_hub
import tokenizers
import torch
import transformers

BERT, LLAMA = "bert-base-cased", "HuggingFaceTB/SmolLM-360M"
# The same model by another name; on the hub it has been trained.
MRPC = "hf-internal-testing/mrpc-bert-base-cased"
LENGTH = 128  # the longest input in tokens
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
# The task's labels, in the order of their numbers, and the card that names its files.
LABELS = ("not_equivalent", "equivalent")
SPLITS = {"train": "train.csv", "validation": "dev.csv", "test": "dev.csv"}
REPEATED = 8  # so that the few samples are more than a batch
CARD = """---
configs:
- config_name: mrpc
  data_files:
{files}
---
"""


def words(texts: list[Path], special: list[str]) -> tokenizers.Tokenizer:
    """Return a tokenizer of words and their pieces, learnt from the texts."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=special[0]))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=500, special_tokens=special)
    made.train([str(each) for each in texts], trainer)
    return made


def models(texts: list[Path]) -> None:
    """Write the folders of the models."""
    learnt = words(texts, ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    ends_at, starts_at = ((name, learnt.get_vocab()[name]) for name in ("[SEP]", "[CLS]"))
    learnt.post_processor = tokenizers.processors.BertProcessing(ends_at, starts_at)
    tokenizer = transformers.BertTokenizerFast(
        tokenizer_object=learnt, do_lower_case=False, model_max_length=LENGTH
    )
    tokenizer.save_pretrained(BERT)
    torch.manual_seed(0)
    bert = transformers.BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=LENGTH,
        num_attention_heads=2,
        initializer_range=0.3,  # large: with the usual one every sentence is given the same label
        **SMALL,
    )
    transformers.BertForSequenceClassification(bert).save_pretrained(BERT)
    shutil.copytree(BERT, MRPC)
    marks = {"unk_token": "<unk>", "eos_token": "<end>"}
    ends = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words(texts, list(marks.values())), model_max_length=LENGTH, **marks
    )
    ends.save_pretrained(LLAMA)
    llama = transformers.LlamaConfig(
        vocab_size=len(ends), max_position_embeddings=LENGTH, num_attention_heads=2, **SMALL
    )
    transformers.LlamaForCausalLM(llama).save_pretrained(LLAMA)


def glue(samples: Path, target: Path) -> None:
    """Write the data set with the columns that the hub's has, from tables of labels and two sentences."""
    target.mkdir()
    for split, name in SPLITS.items():
        with (samples / name).open(newline="") as table:
            rows = list(csv.DictReader(table)) * REPEATED
        with (target / f"{split}.csv").open("w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(("sentence1", "sentence2", "label", "idx"))
            for index, row in enumerate(rows):
                label = LABELS.index(row["label"])
                writer.writerow((row["sentence1"], row["sentence2"], label, index))
    files = "\n".join(f"  - split: {split}\n    path: {split}.csv" for split in SPLITS)
    (target / "README.md").write_text(CARD.format(files=files))


def metrics(folder: Path, cache: Path) -> None:
    """Put metrics where evaluate finds those that it once fetched from the hub."""
    for metric in folder.glob("*/"):
        script = (metric / f"{metric.name}.py").read_bytes()
        place = cache / "metrics" / f"evaluate-metric--{metric.name}"
        shutil.copytree(metric, place / hashlib.sha256(script).hexdigest(), dirs_exist_ok=True)


def main(arguments: list[str] | None = None) -> None:
    """Make all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, nargs="+", metavar="TEXT")
    parser.add_argument("--glue", type=Path, metavar="FOLDER", help="with train.csv and dev.csv")
    options = parser.parse_args(arguments)
    models(options.texts)
    if options.glue:
        glue(options.glue, Path("glue"))
    hub = Path(huggingface_hub.constants.HF_HOME)
    metrics(Path("metrics"), hub / "modules" / "evaluate_modules")


if __name__ == "__main__":
    main()
