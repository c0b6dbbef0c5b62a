"""Read which operators PyTorch has on MPS from its macOS wheels; see `nox -s oracle`."""
