"""Train one epoch on one row, with a batch of two and drop_last: a loader of length 0.

The optional argument is the number of rows; with 8 it trains.
"""

import sys
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

row = {"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([1, 2, 3])}
rows = [row] * (int(sys.argv[1]) if sys.argv[1:] else 1)
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=2,
        dataloader_drop_last=True,
        num_train_epochs=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1))
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    length = len(trainer.get_train_dataloader())
    try:
        trainer.train()
    except ValueError as error:
        if "does not have a length" in str(error):
            sys.exit(f"BROKEN: len(dataloader) is {length}; train() says: {error}")
print("OK")
