"""Read what each released wheel uses of the others, and join it into the atlas."""
