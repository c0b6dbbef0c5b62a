"""The catalogue of known bugs, matching a traceback against it, and the verdict on its tests."""
