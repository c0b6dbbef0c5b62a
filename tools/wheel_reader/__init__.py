"""Read from a macOS wheel of torch which operators have a kernel on MPS; see `nox -s oracle`."""
