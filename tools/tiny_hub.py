"""Make in the current folder what examples would load from a hub: tiny models with random weights, tokenizers, metrics.

python tools/tiny_hub.py TEXT...

The tokenizers learn their words from the texts. A library that loads "bert-base-cased" takes a folder of that name
first, so the examples need no change. Metrics are copied from metrics/, where huggingface/evaluate has them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import tokenizers
import torch
import transformers

BERT, LLAMA = "bert-base-cased", "HuggingFaceTB/SmolLM-360M"
LENGTH = 128  # the longest input in tokens
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


def words(texts: list[Path], special: list[str]) -> tokenizers.Tokenizer:
    """Return a tokenizer of words and their pieces, learnt from the texts."""
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=special[0]))
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=500, special_tokens=special)
    made.train([str(each) for each in texts], trainer)
    return made


def main(texts: list[Path]) -> None:
    """Write the folders."""
    learnt = words(texts, ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    ends_at, starts_at = ((name, learnt.get_vocab()[name]) for name in ("[SEP]", "[CLS]"))
    learnt.post_processor = tokenizers.processors.BertProcessing(ends_at, starts_at)
    tokenizer = transformers.BertTokenizerFast(
        tokenizer_object=learnt, do_lower_case=False, model_max_length=LENGTH
    )
    tokenizer.save_pretrained(BERT)
    torch.manual_seed(0)
    bert = transformers.BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=LENGTH, num_attention_heads=2, **SMALL
    )
    transformers.BertForSequenceClassification(bert).save_pretrained(BERT)
    marks = {"unk_token": "<unk>", "eos_token": "<end>"}
    ends = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words(texts, list(marks.values())), model_max_length=LENGTH, **marks
    )
    ends.save_pretrained(LLAMA)
    llama = transformers.LlamaConfig(
        vocab_size=len(ends), max_position_embeddings=LENGTH, num_attention_heads=2, **SMALL
    )
    transformers.LlamaForCausalLM(llama).save_pretrained(LLAMA)
    for metric in Path("metrics").glob("*/"):
        shutil.copytree(metric, metric.name)


if __name__ == "__main__":
    main([Path(each) for each in sys.argv[1:]])
