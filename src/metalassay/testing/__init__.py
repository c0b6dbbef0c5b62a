"""What the compatibility suite needs: the recorder, ranks, a tiny Trainer."""
