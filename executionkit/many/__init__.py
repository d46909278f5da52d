"""Many rows: limits, journals and resume around the patterns. Each part is a provider around a provider."""

from executionkit.many._governor import Governor
from executionkit.many._limits import RateLimits

__all__ = ["Governor", "RateLimits"]
