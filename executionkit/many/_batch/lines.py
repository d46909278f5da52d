"""The lines of batch files: requests as they are written, responses as services write them."""

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from executionkit._json import a_text, an_object, dumps, is_object, loads
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.responses import LLMResponse

URL: Final = "/v1/chat/completions"

_NOT_RUN: Final = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})
"""The codes of requests that the service did not carry out, so that they cost nothing."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_READABLE: Final = 24
_BOM: Final = b"\xef\xbb\xbf"

Responses: TypeAlias = str | Path | Iterable[str | bytes | Path]
"""The output of batches: the path of a file, paths of several, or the lines of one."""


class Key(NamedTuple):
    """A request of a journal: the row, the digest of the request, and its number among the equal ones."""

    row: str
    request: str
    n: int


class NotRun(NamedTuple):
    """The outcome of a request that the service did not carry out."""

    code: str


Outcome: TypeAlias = LLMResponse | LLMError | NotRun


def custom_id(job: str, key: Key) -> str:
    """The `custom_id` of a request: always the same, of at most 64 of the signs that all services take.

    It begins with the row's id, as far as that can be shown, for people who look through such a file. What
    makes it unique is the digest at its end.

    Args:
        job: What the journal was written for. So the ids of two journals differ.
        key: The request.
    """
    text = "\0".join((job, key.row, key.request, str(key.n)))
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_UNSAFE.sub('_', key.row)[:_READABLE]}-{key.n}-{digest}"


def request_line(name: str, body: bytes, url: str = URL) -> bytes:
    """One line of a batch file."""
    return b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n' % (dumps(name), dumps(url), body)


class ResponseLine(NamedTuple):
    """A line of a batch's output.

    Attributes:
        name: Its `custom_id`.
        status: The HTTP status.
        body: The body as it came: a completion or an error; None if there is none.
        error: What the service says of a request that it did not carry out, or not to its end.
    """

    name: str
    status: int
    body: object
    error: object

    @classmethod
    def of(cls, text: str | bytes) -> "ResponseLine | None":
        """Read a line; None if it can't be read, such as one that was cut off."""
        try:
            line = an_object(loads(text))
        except (ValueError, RecursionError):
            return None
        if line is None or not isinstance(name := line.get("custom_id"), str):
            return None
        response, error = line.get("response"), line.get("error")
        if not is_object(response):
            return cls(name, 0, None, error if error else response)
        if "choices" in response:  # Fireworks has the completion itself here
            return cls(name, 200, response, error)
        status = response.get("status_code")
        return cls(name, status if type(status) is int else 200, response.get("body"), error)

    def outcome(self, *, source: str, model: str, choices: int) -> Outcome:
        """What came of the request; the arguments are those of `reply_of`."""
        from executionkit.provider._offline import reply_of  # not at the top: the client is large

        told = an_object(self.error) or {}
        code = a_text(told.get("code"))
        if code in _NOT_RUN:
            return NotRun(code)
        if self.body is None:
            body: object = {"error": self.error or "no response"}
            status = self.status if self.status >= 400 else 500
        else:
            body, status = self.body, self.status
        text = body.encode("utf-8", "replace") if isinstance(body, str) else dumps(body)
        return reply_of(text, source=source, status=status, model=model, choices=choices)


def response_lines(given: Responses) -> Iterator[str | bytes]:
    """The lines of a batch's output that are not empty."""
    if isinstance(given, (str, Path)):
        yield from _lines_of(Path(given))
        return
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise TypeError(
            f"responses must be a path, or an iterable of paths or lines, got {type(given).__name__}"
        )
    for each in given:
        if isinstance(each, Path):
            yield from _lines_of(each)
        elif not isinstance(each, (str, bytes)):
            raise TypeError(f"responses must hold paths or lines, but hold a {type(each).__name__}")
        elif each.strip():
            yield each


def _lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line := line.removeprefix(_BOM).strip():
                yield line


_KINDS: Final[dict[str, type[LLMError]]] = {
    "RateLimitError": RateLimitError,
    "PermanentError": PermanentError,
}


def failure_facts(failure: LLMError) -> dict[str, Any]:
    """What a journal keeps of an error, for `failure_from`."""
    kind = next((name for name, each in _KINDS.items() if isinstance(failure, each)), "ProviderError")
    facts = {"error": kind, "status": failure.status_code, "code": failure.code, "message": str(failure)}
    return {name: value for name, value in facts.items() if value is not None}


def failure_from(facts: dict[str, Any]) -> LLMError:
    """The error that `failure_facts` was given, as far as it was kept."""
    make: Callable[..., LLMError] = _KINDS.get(a_text(facts.get("error")), ProviderError)
    status = facts.get("status")
    return make(
        a_text(facts.get("message")),
        status_code=status if type(status) is int else None,
        code=a_text(facts.get("code")) or None,
    )
