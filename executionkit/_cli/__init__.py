"""The command line, `executionkit`. Start reading in `app.py`; each command has a module."""
