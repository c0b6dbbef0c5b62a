"""Changes an environment to a set of versions that works, and never leaves it worse than it was.

``resolve`` asks the installer what a plan would really do, ``record`` keeps the state before, ``verify``
tries the packages before and after, ``apply`` does it in this order, and brings the old state back.
"""
