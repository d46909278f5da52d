"""Stand-in until the governor is merged."""

from executionkit.engine.relay import Relay
from executionkit.many._limits import RateLimits
from executionkit.protocols import LLMProvider


class Governor(Relay):
    def __init__(self, provider: LLMProvider, limits: RateLimits) -> None:
        super().__init__(provider)
        self.limits = limits
