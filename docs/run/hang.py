"""A program that waits for something that never comes."""

import queue

import torch

print(torch.ones(1), flush=True)
queue.Queue().get()
