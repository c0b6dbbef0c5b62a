"""Train a small GPT on dialogues, and generate text with it."""
