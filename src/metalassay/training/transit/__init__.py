"""Train a classifier that tells planetary transits from other dips in light curves."""
