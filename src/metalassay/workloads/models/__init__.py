"""The benchmark models: torch only, one file each, to be pasted whole into an upstream issue."""
