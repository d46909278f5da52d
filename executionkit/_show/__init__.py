"""`executionkit show`: a run log as a tree in the terminal, or as one page."""
