"""The training program of a small GPT on dialogues."""
