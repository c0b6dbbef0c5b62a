"""Train with load_best_model_at_end and an evaluation set without rows.

The optional argument is the number of rows to evaluate on; with 2 it trains.
"""

import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

row = {"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([1, 2, 3])}
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=1,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=1,
        save_steps=1,
        load_best_model_at_end=True,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1))
    unseen = [row] * (int(sys.argv[1]) if sys.argv[1:] else 0)
    trainer = Trainer(model=model, args=arguments, train_dataset=[row] * 8, eval_dataset=unseen)
    try:
        trainer.train()
    except KeyError as error:
        sys.exit(f"BROKEN: {len(unseen)} rows to evaluate on; train() says: {error.args[0]}")
    except ValueError as error:  # an error with the reason would be correct
        print(f"OK: {error}")
        sys.exit()
print("OK")
