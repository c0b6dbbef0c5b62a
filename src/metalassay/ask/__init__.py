"""Questions about the user's own model: one small file, and answers from what it does on this machine."""
