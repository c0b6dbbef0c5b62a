"""A program whose network is away at its first start."""

import os

if os.environ.get("METALASSAY_RESTARTS") == "0":
    raise ConnectionError("Max retries exceeded with url: /api/models")
print("downloaded, trained, finished")
