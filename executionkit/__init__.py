"""ExecutionKit: reasoning patterns over any OpenAI-compatible endpoint."""

__version__ = "0.1.0"
