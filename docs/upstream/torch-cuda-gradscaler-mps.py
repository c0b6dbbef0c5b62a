"""Create a gradient scaler of torch.cuda.amp for MPS, which needs no Mac."""

import sys
import warnings

import torch

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        scaler = torch.cuda.amp.GradScaler("mps")
    except (TypeError, ValueError) as error:  # "mps" is not a scale: an error would be correct
        print(f"OK: {error}")
        sys.exit()
messages = [str(one.message).split(".  ")[0] for one in caught if one.category is UserWarning]
sys.exit(f"BROKEN: no error; is_enabled() is {scaler.is_enabled()}; warnings: {messages}")
