"""A progress bar for the runs of every pattern."""

from executionkit.progress._bar import ProgressBar as ProgressBar
from executionkit.progress._bar import bar as bar

__all__ = ["ProgressBar", "bar"]
