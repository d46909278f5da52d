"""What of a reply's headers is kept on the response: the limits, and the request's identifier."""

from typing import Any, Final

from executionkit.provider._failures import REQUEST_IDS, Reporter
from executionkit.provider._http.transport import Reply

_KEPT: Final = (
    *("ratelimit", "x-ratelimit", "x-rate-limit", "anthropic-ratelimit", "retry-after", "x-should-retry"),
    *("openai-processing-ms", "openai-model", "openai-version", "x-litellm-response-cost"),
)
_MOST: Final = 50
_LONGEST: Final = 200


def facts_of(reply: Reply, report: Reporter) -> dict[str, Any]:
    """The fields of a response that its headers give."""
    kept: dict[str, str] = {}
    for name, value in reply.headers.items():
        if not (name in REQUEST_IDS or name.startswith(_KEPT)) or len(kept) >= _MOST:
            continue
        # In a sentence, a value is recognised as a secret where it has the form of one.
        said = f"{name} {value}"
        if len(value) <= _LONGEST and report.clean(said) == said.strip():
            kept[name] = value
    request_id = next((kept[name] for name in REQUEST_IDS if kept.get(name)), None)
    return {"request_id": request_id, "headers": kept} if kept else {}
