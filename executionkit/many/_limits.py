"""Stand-in until the governor is merged."""

from executionkit.engine.retry import RetryConfig


class RateLimits:
    def __init__(self, max_in_flight: int = 64) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.waiting = 0
        self.allowed_per_second: float | None = None
        self.refused = 0


def patient(retry: RetryConfig | None) -> RetryConfig | None:
    return retry
