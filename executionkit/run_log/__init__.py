"""`RunLog`: an observer that writes what runs do to a file of JSON Lines."""

from executionkit.run_log._log import RunLog

__all__ = ["RunLog"]
