"""The training program that tells transits from other dips in a light curve."""
