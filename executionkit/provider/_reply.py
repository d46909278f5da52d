"""An HTTP reply, unpacked and read: it becomes a response or an error, whatever bytes it holds."""

import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

from executionkit._json import a_list, a_text, an_object, loads
from executionkit._text import describe, well_formed
from executionkit.errors import LLMError
from executionkit.provider._codings import PACKED, codings, foreign_codings
from executionkit.provider._failures import Reporter
from executionkit.provider._http.faults import TOO_LARGE
from executionkit.provider._http.transport import Reply
from executionkit.provider._tool_calls import tool_calls_of
from executionkit.responses import LLMResponse, text_of

_GZIP = b"\x1f\x8b"


def interpret(reply: Reply, limit: int, report: Reporter) -> LLMResponse | LLMError:
    """Turn any HTTP reply into a response, or into the error to raise."""
    try:
        unpacker = Unpacker(reply.headers, limit)
        reply = reply._replace(body=unpacker.feed(reply.body))
        unpacker.finish()
    except (ValueError, zlib.error) as exc:
        reply, broken = reply._replace(body=b""), describe(exc)
        return report.unreadable(reply, broken) if 200 <= reply.status < 300 else report.status(reply)
    if not 200 <= reply.status < 300:
        return report.status(reply)
    try:
        payload = loads(reply.body)
    except (ValueError, RecursionError) as exc:
        return report.unreadable(reply, "empty" if not reply.body.strip() else describe(exc))
    body = an_object(payload)
    if body is None:
        return report.unreadable(reply, "JSON, but not an object")
    choices = list(map(an_object, a_list(body.get("choices"))))
    found = [response for each in choices if each and (response := _response(body, each)) is not None]
    if found:
        # The usage covers all choices together, so only the first one carries it.
        others = [dataclasses.replace(response, usage={}) for response in found[1:]]
        return dataclasses.replace(found[0], alternatives=others) if others else found[0]
    choice = choices[0] if choices else None
    if body.get("error"):
        return report.error_within(reply, body)
    if choice is not None and choice.get("error"):
        return report.error_within(reply, choice)
    return report.unreadable(reply, "no message in it")


class Unpacker:
    """Undoes the compression of a body, which may come in pieces.

    Bytes that follow a complete gzip member and don't begin another one are padding, and left out.

    Args:
        headers: The reply's headers, names in lower case.
        limit: The most bytes that one piece may make.

    Raises:
        ValueError: The reply has a coding that can't be undone.
    """

    def __init__(self, headers: Mapping[str, str], limit: int) -> None:
        if foreign := foreign_codings(headers):
            raise ValueError(f"content-encoding {foreign[0]!r}, which was not asked for")
        packed = [name for name in codings(headers) if name in PACKED]
        if len(packed) > 1:
            raise ValueError("it is compressed more than once")
        self._limit = limit
        self._is_packed = bool(packed)
        self._member: Any = None
        self._waiting = b""
        self._is_over = False

    def feed(self, piece: bytes) -> bytes:
        """Unpack the next piece.

        Raises:
            ValueError: It makes too many bytes.
            zlib.error: It can't be unpacked.
        """
        if not self._is_packed:
            return piece
        parts: list[bytes] = []
        room = self._limit
        piece, self._waiting = self._waiting + piece, b""
        while piece and not self._is_over:
            if self._member is not None and self._member.eof:
                if piece == _GZIP[:1]:
                    self._waiting = piece
                    break
                self._is_over = not piece.startswith(_GZIP)
                self._member = None
                continue
            self._member = self._member or zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
            part = self._member.decompress(piece, room + 1)
            room -= len(part)
            if room < 0:
                raise ValueError(TOO_LARGE.format(self._limit))
            parts.append(part)
            piece = self._member.unused_data
        return b"".join(parts)

    def finish(self) -> None:
        """Require that the body ended with a complete member.

        Raises:
            ValueError: It is cut off.
        """
        if self._member is not None and not self._member.eof:
            raise ValueError("the compressed body is cut off")


def _response(body: Mapping[str, Any], choice: Mapping[str, Any]) -> LLMResponse | None:
    """Read a choice; None when it holds no message at all.

    The reply is paid for, and an error would be retried and paid for again. So a missing part is read as
    empty.
    """
    message = an_object(choice.get("message"))
    finish = a_text(choice.get("finish_reason"))
    failed = bool(choice.get("error"))
    if message is None:
        # A completion in the old style has `text`. A reply that a filter withheld has no message.
        text = a_text(choice.get("text"))
        if not text and (failed or not finish):
            return None
        message = {"content": text}
    elif failed and not message.get("content"):
        return None
    return response_from(body, message, finish, an_object(body.get("usage")) or {})


def response_from(
    body: Mapping[str, Any], message: Mapping[str, Any], finish: str, usage: Mapping[str, Any]
) -> LLMResponse:
    """Make a response of a message; `body` is the whole reply."""
    calls = tool_calls_of(message)
    return LLMResponse(
        well_formed(text_of(message.get("content"))),
        calls,
        finish or ("tool_calls" if calls else "stop"),
        usage,
        body,
        reasoning=well_formed(a_text(message.get("reasoning_content")) or a_text(message.get("reasoning"))),
        refusal=well_formed(a_text(message.get("refusal"))),
    )
