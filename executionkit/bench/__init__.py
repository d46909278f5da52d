"""Would voting or refining help on my data, and what would it cost? `compare` tries it, with intervals."""

from executionkit.bench._compare import Step as Step
from executionkit.bench._compare import compare as compare
from executionkit.bench._compare import compare_sync as compare_sync
from executionkit.bench._comparison import Comparison as Comparison
from executionkit.bench._figures import Outcome as Outcome
from executionkit.bench._figures import PatternFigures as PatternFigures
from executionkit.bench._grading import Grade as Grade
from executionkit.bench._grading import match as match
from executionkit.bench._specs import steps as steps
from executionkit.bench._statistics import Interval as Interval

__all__ = [
    "Comparison",
    "Grade",
    "Interval",
    "Outcome",
    "PatternFigures",
    "Step",
    "compare",
    "compare_sync",
    "match",
    "steps",
]
