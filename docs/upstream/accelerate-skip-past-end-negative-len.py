"""Take the length of a loader of two batches after skipping more than two."""

import sys

from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader

loader = Accelerator(cpu=True).prepare(DataLoader(range(8), batch_size=4))
skipped = skip_first_batches(loader, int(sys.argv[1]) if sys.argv[1:] else 3)
left = sum(1 for _ in skipped)
try:
    length = len(skipped)
except ValueError as error:
    sys.exit(f"BROKEN: a loop over it gives {left} batches, len() says {error}")
if length != left:
    sys.exit(f"BROKEN: a loop over it gives {left} batches, len() says {length}")
print("OK")
