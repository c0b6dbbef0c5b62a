"""Tools of the compatibility suite: the recorder of verdicts, several ranks, a tiny Trainer."""
