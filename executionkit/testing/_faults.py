"""`Fault`: a reply of the local endpoint that fails, breaks off or is late, as a value in its script."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType, NoneType
from typing import Any, Literal, TypeAlias, get_args

from executionkit import _checks as checks
from executionkit.responses import LLMResponse, empty_mapping, rebuild

Body: TypeAlias = str | bytes | Mapping[str, Any] | list[Any] | None
Cut: TypeAlias = Literal["start", "headers", "body"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A reply that fails, breaks off or is late.

    Make one with the class methods, and nest them to combine faults.

    Example:
        ```python
        from executionkit.testing import Fault, LocalEndpoint

        LocalEndpoint(
            [Fault.rate_limited(0), Fault.delay(0.2, then=Fault.status(503)), "at last"]
        )
        ```

    Attributes:
        code: The status to send. Defaults to the status of the reply in `then`.
        headers: Headers to send; they replace the usual ones of the same name.
        body: Sent instead of a completion, together with `code`.
        seconds: The wait before the reply.
        hangs: Whether the request waits until `LocalEndpoint.release_hung` is called.
        breaks: The place where the reply breaks off. Defaults to a whole reply.
        sent: The bytes of the body that are sent before it breaks off. Defaults to half of them.
        resets: Whether the connection is reset (RST) where the reply breaks off, instead of closed.
        after: The pieces of a streamed reply that are sent before it stalls or fails. A piece is about a
            word; a reply that is not streamed is one piece. Defaults to a reply that does neither.
        error: Sent as an error event after those pieces. Defaults to a stall.
        then: The reply that is late or breaks off.

    Raises:
        ValueError: A number or a name is out of range, or a header can't be sent.
        TypeError: A field has the wrong type.
    """

    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=empty_mapping)
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
            headers: Sent unchanged; a `Content-Length` or `Content-Type` here replaces the correct one.
            body: Text and bytes are sent unchanged, a mapping or list as JSON. Defaults to an error object
                in OpenAI's form.
        """
        return cls(code=code, headers={} if headers is None else headers, body=body)

    @classmethod
    def rate_limited(cls, retry_after: float | str | None = 1.0) -> "Fault":
        """Answer 429 with `retry_after` as the `Retry-After` header, unchanged; None sends no such header."""
        headers = {} if retry_after is None else {"Retry-After": f"{retry_after}"}
        return cls.status(429, headers=headers)

    @classmethod
    def malformed(cls) -> "Fault":
        """Answer 200 with a JSON body that stops in the middle."""
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
        """Declare the length of the whole reply, send `sent` bytes of its body (default: half), and close."""
        return cls(breaks="body", sent=sent, then=reply)

    @classmethod
    def reset(cls, at: Cut = "start", *, reply: "Answer" = "reset") -> "Fault":
        """Reset the connection before the reply, after its headers, or in the middle of its body."""
        checks.one_of(get_args(Cut), at=at)
        return cls(breaks=at, resets=True, then=reply)

    @classmethod
    def stall(cls, reply: "Answer" = "a stream that stalls", *, after: int = 1) -> "Fault":
        """Stream `after` pieces of the reply, then wait until `LocalEndpoint.release_hung` is called.

        A reply that is not streamed waits before its first byte.
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
            reply: The reply that is begun.
            after: The number of its pieces that are sent.
            error: The error object. Defaults to a server error in OpenAI's form. A request that does not
                stream gets the error object alone, with status 200.
        """
        kind = {"message": "Simulated failure in a stream.", "type": "server_error", "code": None}
        return cls(after=after, error=kind if error is None else error, then=reply)


Answer: TypeAlias = str | LLMResponse | Fault
"""A reply in the endpoint's script: a text, a whole response, or a fault."""


def checked_answer(answer: object) -> Answer:
    """Require a text, a response or a fault.

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
