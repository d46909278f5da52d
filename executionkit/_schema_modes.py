"""The servers' own modes for structured output: their request fields, refusals, and a memory of both."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from executionkit._output import SchemaMode
from executionkit._refusals import Memory, is_complaint, is_success
from executionkit._schema import sendable
from executionkit._schema._strict import strict
from executionkit.errors import LLMError, PermanentError, RateLimitError

MODES: Final[tuple[SchemaMode, ...]] = ("json_schema", "json_object_schema", "json_object", "none")

_MOST_SCHEMAS: Final = 256
"""The most schemas that are remembered for a provider."""


def request_fields(mode: SchemaMode, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The body fields that ask the server for `mode`."""
    if mode == "json_schema":
        closed = strict(schema)
        described = {"name": "reply", "schema": sendable(closed or schema), "strict": closed is not None}
        return {"response_format": {"type": "json_schema", "json_schema": described}}
    if mode == "json_object_schema":
        return {"response_format": {"type": "json_object", "schema": sendable(schema)}}
    return {"response_format": {"type": "json_object"}} if mode == "json_object" else {}


_MODE_WORDS: Final = re.compile(
    # "Failed to initialize samplers": llama.cpp's server, of a grammar that it can't begin with.
    r"response.?format|json.?(?:schema|object|mode)|structured.?output|grammar|guided|schema|samplers"
    # "No endpoints found that can handle the requested parameters": OpenRouter.
    r"|(?:handle|support) the requested param",
    re.IGNORECASE,
)
_REFUSAL_WORDS: Final = re.compile(
    r"(?:\bnot|n't) (?:\w+ )?(?:accept|allow|available|compatible|compil|enabled|have|implement|permit"
    r"|recogni[sz]|support|underst|valid)|un(?:supported|implemented|recogni[sz]ed|known)|invalid|illegal"
    r"|forbidden|rejected|disabled|no such|conversion failed|must be|too complex|only supported"
    r"|(?:fail(?:ed|ure|s)? to|can ?(?:no|')t|could(?: not|n't)|unable to|error) (?:\w+ )?"
    r"(?:build|compil|convert|creat|generat|handl|initiali[sz]|pars|translat|us(?:e|ing))",
    re.IGNORECASE,
)
_PASSING_WORDS: Final = re.compile(
    r"restart|temporar|moment|overload|busy|\bagain\b|retry|later|warming|loading|starting|initiali[sz]ing"
    r"|rebuil|re-?load|refresh|time[d-]? ?out|\bin time\b|memory|allocat|acquire|crash|\bdied\b|killed|exited"
    r"|capacity|queue|connect|\breach|respon[ds](?!e.?format)|shut(?:ting)? ?down|\bready|currently"
    r"|at this time",
    re.IGNORECASE,
)
_ROOM_WORDS: Final = re.compile(r"max.?(?:completion.?|new.?|output.?)?tokens|too large", re.IGNORECASE)


def refuses_mode(exc: LLMError) -> bool:
    """Whether the server says, or may be saying, that it doesn't have the mode, or not for this schema.

    A 500 about a schema may be that, because llama.cpp reports clients' mistakes as 500, and so may an error
    in a reply with the status 200. Of other failures of the server only its words can tell.
    """
    if isinstance(exc, RateLimitError) or exc.is_context_overflow or not _MODE_WORDS.search(str(exc)):
        return False
    status = exc.status_code
    if isinstance(exc, PermanentError):
        return status in (None, 400, 404, 422, 500, 501) or is_success(status)
    return status == 500 or is_success(status) or ((status is None or status > 500) and _says_so(exc))


def is_lasting(exc: LLMError) -> bool:
    """Whether a refusal of a mode will come again; not if it may have been a fault of the moment."""
    return isinstance(exc, PermanentError) or _says_so(exc)


def refuses_room(exc: LLMError) -> bool:
    """Whether the server says that `max_tokens` is too large."""
    return is_complaint(exc) and _ROOM_WORDS.search(str(exc)) is not None


def _says_so(exc: LLMError) -> bool:
    words = str(exc)
    return _REFUSAL_WORDS.search(words) is not None and not _PASSING_WORDS.search(words)


def _key(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


class ModeMemory:
    """The mode that each provider takes for each schema, so that a refusal is paid for once."""

    def __init__(self) -> None:
        self._known: Memory[SchemaMode] = Memory(_MOST_SCHEMAS)

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, provider: object, schema: Mapping[str, Any]) -> SchemaMode | None:
        """The mode found for this provider and schema, or None."""
        return self._known.recall(provider, _key(schema))

    def learn(self, provider: object, schema: Mapping[str, Any], mode: SchemaMode) -> None:
        """Remember the mode that was found."""
        self._known.learn(provider, _key(schema), mode)


MEMORY: Final = ModeMemory()
