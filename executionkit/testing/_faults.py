"""`Fault`: what can go wrong with one reply of the local endpoint, as a value in its script."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType, NoneType
from typing import Any, Literal, TypeAlias, get_args

from executionkit import _checks as checks
from executionkit.responses import LLMResponse, rebuild

Body: TypeAlias = str | bytes | Mapping[str, Any] | list[Any] | None
Cut: TypeAlias = Literal["start", "headers", "body"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A reply that fails, breaks off, or is late; made by the class methods, which can be nested.

    Example:
        ```python
        from executionkit.testing import Fault, LocalEndpoint

        LocalEndpoint(
            [Fault.rate_limited(0), Fault.delay(0.2, then=Fault.status(503)), "at last"]
        )
        ```

    Attributes:
        code: The status sent instead of 200; None leaves the reply's own.
        headers: Headers sent beside, or instead of, the usual ones.
        body: What is sent instead of a completion; used together with `code`.
        seconds: How long the request waits first.
        hangs: Whether the request waits until `LocalEndpoint.release_hung`.
        breaks: Where the reply breaks off; None when it doesn't.
        sent: How many bytes of the body are sent before it breaks off; None means half of them.
        resets: Whether the connection is reset (RST) where it breaks off, instead of closed.
        after: How many pieces of a streamed reply are sent before it stalls or fails; None when it does
            neither. A piece is a word or so; a reply that is not streamed counts as one.
        error: What a streamed reply fails with after those pieces: sent as an error event. None stalls it.
        then: The reply that is late or breaks off.

    Raises:
        ValueError: A number or a name is out of range, or a header can't be sent.
        TypeError: A field is of another type than it must be.
    """

    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: Body = None
    seconds: float = 0.0
    hangs: bool = False
    breaks: Cut | None = None
    sent: int | None = None
    resets: bool = False
    after: int | None = None
    error: Mapping[str, Any] | None = None
    then: "Answer" = ""

    def __post_init__(self) -> None:
        if self.code is not None and not (isinstance(self.code, int) and 200 <= self.code <= 599):
            raise ValueError(f"code must be an integer in [200, 599], got {self.code!r}")
        checks.between(0, math.inf, seconds=self.seconds)
        counts = {"sent": self.sent, "after": self.after}
        checks.at_least(0, **{name: count for name, count in counts.items() if count is not None})
        if self.breaks is not None:
            checks.one_of(get_args(Cut), breaks=self.breaks)
        if not isinstance(self.body, (str, bytes, Mapping, list, NoneType)):
            raise TypeError(f"body must be text, bytes, a mapping, a list or None, got {self.body!r}")
        if not isinstance(self.error, (Mapping, NoneType)):
            raise TypeError(f"error must be a mapping or None, got {self.error!r}")
        checked_answer(self.then)
        object.__setattr__(self, "headers", MappingProxyType(_checked_headers(self.headers)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType can't be pickled; the fields can.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return rebuild, (type(self), values | {"headers": dict(self.headers)})

    @classmethod
    def status(cls, code: int, *, headers: Mapping[str, str] | None = None, body: Body = None) -> "Fault":
        """Answer with any status, headers and body; `status(200, body=...)` sends any body as a success.

        Args:
            code: The status, in [200, 599].
            headers: Sent as they are; a `Content-Length` or `Content-Type` here replaces the right one.
            body: Text or bytes as they are, a mapping or list as JSON; None means an error object as
                OpenAI sends it.
        """
        return cls(code=code, headers={} if headers is None else headers, body=body)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = 1.0) -> "Fault":
        """Answer 429; `retry_after` is sent as the `Retry-After` header, whatever it is, unless None."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after}"}
        return cls.status(429, headers=headers)

    @classmethod
    def malformed(cls) -> "Fault":
        """Answer 200 with a body that is declared JSON and stops in the middle."""
        return cls.status(200, body='{"id": "chatcmpl-0", "choices": [{"message": {"content": "stops in')

    @classmethod
    def delay(cls, seconds: float, *, then: "Answer" = "") -> "Fault":
        """Wait `seconds`, then reply."""
        return cls(seconds=seconds, then=then)

    @classmethod
    def hang(cls, *, then: "Answer" = "") -> "Fault":
        """Wait until `LocalEndpoint.release_hung` is called or the client goes away, then reply."""
        return cls(hangs=True, then=then)

    @classmethod
    def cut_body(cls, reply: "Answer" = "cut", *, sent: int | None = None) -> "Fault":
        """Declare the whole reply's length, send `sent` bytes of its body (half of it by default), close."""
        return cls(breaks="body", sent=sent, then=reply)

    @classmethod
    def reset(cls, at: Cut = "start", *, reply: "Answer" = "reset") -> "Fault":
        """Reset the connection before the reply, after its headers, or in the middle of its body."""
        checks.one_of(get_args(Cut), at=at)
        return cls(breaks=at, resets=True, then=reply)

    @classmethod
    def stall(cls, reply: "Answer" = "a stream that stalls", *, after: int = 1) -> "Fault":
        """Stream `after` pieces of the reply, then nothing until `LocalEndpoint.release_hung`.

        A reply that is not streamed waits as a whole, with `after` 0.
        """
        return cls(after=after, then=reply)

    @classmethod
    def error_event(
        cls,
        reply: "Answer" = "a stream that fails",
        *,
        after: int = 1,
        error: Mapping[str, Any] | None = None,
    ) -> "Fault":
        """Stream `after` pieces of the reply, then an error event and the end.

        Args:
            reply: What it begins with.
            after: How many pieces of it are sent.
            error: The error object; None is a server error as OpenAI sends it. A request that does not
                stream gets it alone, with status 200.
        """
        kind = {"message": "Simulated failure in a stream.", "type": "server_error", "code": None}
        return cls(after=after, error=kind if error is None else error, then=reply)


Answer: TypeAlias = str | LLMResponse | Fault
"""What the endpoint can be told to reply: a text, a whole response, or a fault."""


def checked_answer(answer: object) -> Answer:
    """`answer`, if it is one.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(answer, (str, LLMResponse, Fault)):
        raise TypeError(f"a reply must be a str, an LLMResponse or a Fault, got {answer!r}")
    return answer


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must be a mapping of names to texts, got {headers!r}")
    for name, value in headers.items():
        if not isinstance(name, str) or not f"{name}{value}".isprintable():
            raise ValueError(f"a header must be one line of printable text, got {name!r}: {value!r}")
    return dict(headers)
