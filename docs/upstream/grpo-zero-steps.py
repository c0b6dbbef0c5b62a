"""Train GRPO with fewer prompts than one generation batch needs: 2 instead of 4.

The optional argument is the number of prompts; with 4 it trains.
"""

import sys
import tempfile

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

words = Tokenizer(models.WordLevel({"<e>": 0, "a": 1, "b": 2, "c": 3}, unk_token="<e>"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<e>", pad_token="<e>")
shape = GPT2Config(vocab_size=4, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)
prompts = ["a b", "b c", "c a", "a c"][: int(sys.argv[1]) if sys.argv[1:] else 2]
batch = {"per_device_train_batch_size": 2, "num_generations": 2, "gradient_accumulation_steps": 4}
quiet = {"save_strategy": "no", "report_to": [], "use_cpu": True, "bf16": False}
with tempfile.TemporaryDirectory() as folder:
    trainer = GRPOTrainer(
        model=GPT2LMHeadModel(shape),
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=GRPOConfig(output_dir=folder, max_steps=2, max_completion_length=4, **batch, **quiet),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
    )
    try:
        steps = trainer.train().global_step
    except ValueError as error:  # an error with the reason would be correct
        print(f"OK: {error}")
        sys.exit()
if steps == 0:
    sys.exit(f"BROKEN: {len(prompts)} prompts; train() returned global_step=0 of 2, and no error")
print("OK")
