"""The pictures of the docs: of runs on simulated models, so that they say the same each time."""
