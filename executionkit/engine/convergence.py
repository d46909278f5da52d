"""Deciding when a sequence of scores has stopped improving."""

from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

from executionkit._checks import at_least, between

__all__ = ["ConvergenceDetector"]

# 0.81 - 0.80 is 0.010000000000000009 in binary floating point, and means a change of 0.01.
_ROUNDING = 1e-9


def validate_score(score: object) -> float:
    """Return the score as a float when it is a real number in [0, 1].

    Example:
        ```python
        from executionkit import validate_score

        assert validate_score(1) == 1.0
        ```

    Args:
        score: The score that an evaluator returned: any `numbers.Real`, numpy's scalars included.

    Returns:
        The score, in [0, 1].

    Raises:
        ValueError: It is not a number (bools and strings are refused), is NaN, or lies outside [0, 1].
    """
    if not isinstance(score, bool) and isinstance(score, Real):
        with suppress(OverflowError):  # an int too large for a float is out of range as well
            number = float(score)
            if 0.0 <= number <= 1.0:
                return number
    raise ValueError(f"score must be a number in [0, 1], got {score!r}")


@dataclass(slots=True, eq=False)
class ConvergenceDetector:
    """Watches scores and says when to stop: the target is reached, or the scores hardly change any more.

    A change counts by its size, up or down. Scores that fall a little make a plateau as those that rise a
    little do.

    Example:
        ```python
        from executionkit import ConvergenceDetector

        detector = ConvergenceDetector(patience=2, score_threshold=0.9)
        assert [detector.should_stop(score) for score in (0.5, 0.7, 0.7, 0.7)] == [
            False,
            False,
            False,
            True,
        ]
        assert detector.stop_reason == "plateau"
        ```

    Args:
        delta_threshold: The largest change between two consecutive scores that counts as no change, in
            [0, 1]; inclusive, so 0.80 to 0.81 is within 0.01.
        patience: The number of consecutive changes that must be that small to make a plateau; at least 1.
        score_threshold: The target in [0, 1]: a score that reaches it stops at once. Defaults to no target.

    Raises:
        ValueError: A parameter is out of range.
    """

    delta_threshold: float = 0.01
    patience: int = 3
    score_threshold: float | None = None
    _previous: float | None = field(default=None, init=False, repr=False)
    _still: int = field(default=0, init=False, repr=False)
    _reason: Literal["target", "plateau"] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        between(0.0, 1.0, delta_threshold=self.delta_threshold)
        at_least(1, patience=self.patience)
        if self.score_threshold is not None:
            between(0.0, 1.0, score_threshold=self.score_threshold)

    @property
    def stop_reason(self) -> Literal["target", "plateau"] | None:
        """The reason why the latest `should_stop` was True; None when it was False or not yet called.

        "target" wins when both hold.
        """
        return self._reason

    def should_stop(self, score: float) -> bool:
        """Record a score and say whether to stop.

        Args:
            score: The latest score, in [0, 1].

        Returns:
            True when the score reaches `score_threshold`, or when this and the calls before it make
            `patience` consecutive changes of at most `delta_threshold`. The first score is no change.

        Raises:
            ValueError: The score is not a number in [0, 1]; it is then not recorded.
        """
        score = validate_score(score)
        if self._previous is not None:
            is_still = abs(score - self._previous) <= self.delta_threshold + _ROUNDING
            self._still = self._still + 1 if is_still else 0
        self._previous = score

        if self.score_threshold is not None and score >= self.score_threshold:
            self._reason = "target"
        elif self._still >= self.patience:
            self._reason = "plateau"
        else:
            self._reason = None
        return self._reason is not None

    def reset(self) -> None:
        """Forget every score, as if newly made."""
        self._previous = None
        self._still = 0
        self._reason = None
