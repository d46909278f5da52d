"""Public test data, fetched from PyPI, run through the check of schemas and arguments."""
