"""Train two steps on one row, with a batch of two and drop_last: no batch at all.

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
        max_steps=2,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
    )
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1))
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    try:
        result = trainer.train()
    except ValueError as error:  # an error with the reason would be correct
        print(f"OK: {error}")
        sys.exit()
if result.global_step == 0:
    loss = result.training_loss
    sys.exit(f"BROKEN: train() returned global_step=0 of 2, training_loss={loss}, and no error")
print("OK")
