"""A model as judge: a score for one answer, or the better of two, read for certain or not at all."""

from executionkit._judge._comparing import compare
from executionkit._judge._scores import read_score
from executionkit._judge._scoring import judge

__all__ = ["compare", "judge", "read_score"]
