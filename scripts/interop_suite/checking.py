"""What a check is, what it is given, and how it says what it expects."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, NamedTuple, TypeAlias, TypeVar

from executionkit import ExecutionKitError, Provider, RetryConfig, TokenUsage

E = TypeVar("E", bound=ExecutionKitError)

QUICK = RetryConfig(base_delay=0.01, max_delay=0.05)
"""Retries that wait no longer than a server on loopback needs."""


@dataclass(frozen=True)
class Target:
    """A server, as one of the library's back ends sees it.

    Attributes:
        base_url: Where its API is.
        backend: The back end of the providers.
        api_key: Its key.
        model: The model that knows the answers of `script`.
        served: What the server counts itself: its calls, and tokens where it tells them. None where it
            doesn't count.
    """

    base_url: str
    backend: str
    api_key: str = ""
    model: str = "scripted"
    served: Callable[[], TokenUsage] | None = None

    def provider(self, model: str | None = None, **settings: Any) -> Provider:
        """A provider for the server."""
        settings = {"backend": self.backend, "default_max_tokens": 64, "timeout": 60.0, **settings}
        return Provider(self.base_url, model or self.model, self.api_key, **settings)

    def stranger(self, model: str | None = None) -> Provider:
        """A provider that equals none before it: what is learnt of a server's modes, equal ones share."""
        return self.provider(model, extra_body={"user": token_hex(4)})


class Outcome(NamedTuple):
    """What came of a check that went well.

    Attributes:
        text: In a few words.
        cost: What the library says it spent, to be compared with what the server counted.
    """

    text: str
    cost: TokenUsage | None = None


Check: TypeAlias = Callable[[Target], Awaitable[Outcome]]

Checks: TypeAlias = Mapping[str, Check]
"""Checks by what they try."""


class CheckFailedError(Exception):
    """Something came out otherwise than expected."""


def expect(actual: object, expected: object, what: str) -> None:
    """Require two values to be equal.

    Raises:
        CheckFailedError: They are not.
    """
    if actual != expected:
        raise CheckFailedError(f"{what}: expected {expected!r}, got {actual!r}")


def require(condition: object, what: str) -> None:
    """Require something to be so.

    Raises:
        CheckFailedError: It is not.
    """
    if not condition:
        raise CheckFailedError(what)


async def raised(kind: type[E], call: Awaitable[object]) -> E:
    """The error that a call ends with.

    Raises:
        CheckFailedError: It ends with none.
    """
    try:
        result = await call
    except kind as exc:
        return exc
    raise CheckFailedError(f"expected {kind.__name__}, got {result!r}")
