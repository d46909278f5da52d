"""Stand-in until the governor is merged."""

from executionkit.engine.retry import RetryConfig


class RateLimits:
    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_in_flight: int = 64,
    ) -> None:
        self.settings = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "max_in_flight": max_in_flight,
        }
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.waiting = 0
        self.allowed_per_second: float | None = None
        self.refused = 0

    def scale(self, part: float) -> None: ...


def patient(retry: RetryConfig | None) -> RetryConfig | None:
    return retry
