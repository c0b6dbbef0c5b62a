"""Ask torch.cuda.amp for a gradient scaler for MPS; no Mac is needed to see what it answers."""

import sys
import warnings

import torch

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        scaler = torch.cuda.amp.GradScaler("mps")
    except (TypeError, ValueError) as error:  # "mps" is no scale: saying so would be right
        print(f"OK: {error}")
        sys.exit()
said = [str(each.message).split(".  ")[0] for each in caught if each.category is UserWarning]
sys.exit(f"BROKEN: no error; is_enabled() is {scaler.is_enabled()}; warnings: {said}")
