"""`RateLimits`: the limits of one account."""

from typing import Any

from executionkit import _checks as checks
from executionkit.many._limits.line import Line


class RateLimits:
    """The rate limits of one account. Jobs and providers that are given the same object share them.

    A limit that is not given is learnt from the refusals of the server, and from its headers where they name
    it. Calls wait in one line, in their order. A refusal (429) makes all of them wait as long as the server
    asks for.

    It may be used from several event loops and threads at once.

    Example:
        ```python
        from executionkit import MockProvider, consensus
        from executionkit.many import Governor, RateLimits

        limits = RateLimits(requests_per_minute=6_000, tokens_per_minute=2_000_000)
        provider = Governor(MockProvider(["Paris"]), limits)
        result = await consensus(provider, "The capital of France?", num_samples=3)
        assert result.value == "Paris"
        ```

    Args:
        requests_per_minute: The requests that the account may send in a minute. Defaults to a limit that is
            not known.
        tokens_per_minute: The tokens of prompts and replies that it may use in a minute. Defaults to a limit
            that is not known.
        max_in_flight: The most calls at once.
        adaptive: Whether limits are learnt. Without it, only the given ones are kept.
        burst: The seconds of a rate that may be sent at once after a lull. Servers that count by the second
            refuse larger bursts.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_in_flight: int = 64,
        adaptive: bool = True,  # noqa: FBT001, FBT002 - a name is clearer, and usual
        burst: float = 0.25,
    ) -> None:
        given = {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
        checks.positive(**{name: value for name, value in given.items() if value is not None}, burst=burst)
        checks.at_least(1, max_in_flight=max_in_flight)
        if not isinstance(adaptive, bool):
            raise ValueError(f"adaptive must be True or False, got {adaptive!r}")
        self.requests_per_minute: float | None = requests_per_minute
        self.tokens_per_minute: float | None = tokens_per_minute
        self.max_in_flight: int = max_in_flight
        self.adaptive: bool = adaptive
        self.burst: float = burst
        self.line: Line = Line(
            None if requests_per_minute is None else requests_per_minute / 60,
            None if tokens_per_minute is None else tokens_per_minute / 60,
            max_in_flight,
            adaptive=adaptive,
            burst=burst,
        )

    def __repr__(self) -> str:
        given = [
            ("requests_per_minute", self.requests_per_minute),
            ("tokens_per_minute", self.tokens_per_minute),
        ]
        shown = [f"{name}={value:g}" for name, value in given if value is not None]
        return f"RateLimits({', '.join([*shown, f'max_in_flight={self.max_in_flight}'])})"

    @property
    def in_flight(self) -> int:
        """The calls that were sent and have not ended. A stream ends when it is closed."""
        return self.line.in_flight

    @property
    def waiting(self) -> int:
        """The calls that wait for room."""
        return self.line.waiting

    @property
    def allowed_per_second(self) -> float | None:
        """The calls a second that may be sent, as far as it is known; None before anything is."""
        return self.line.allowed

    @property
    def refused(self) -> int:
        """The calls that the server refused so far, because a limit was reached or it was overloaded."""
        return self.line.refused

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make an equal one, in another process."""
        return {
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "max_in_flight": self.max_in_flight,
            "adaptive": self.adaptive,
            "burst": self.burst,
        }

    def scale(self, part: float) -> None:
        """Keep to a part of the given rates from now on, because others use the rest; 0.0 lets no call go."""
        checks.between(0.0, 1.0, part=part)
        self.line.scale(part)

    def __reduce__(self) -> tuple[object, ...]:
        # A copy in another process has the same limits, and learns and waits by itself.
        return RateLimits, tuple(self.settings.values())
