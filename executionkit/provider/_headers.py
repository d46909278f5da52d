"""What of a reply's headers is kept on the response: the limits, and the request's identifier."""

import re
from typing import Any, Final

from executionkit.provider._failures import REQUEST_IDS, Reporter
from executionkit.provider._http.transport import Reply

_KEPT: Final = (
    *("ratelimit", "x-ratelimit", "x-rate-limit", "anthropic-ratelimit", "retry-after", "x-should-retry"),
    *("openai-processing-ms", "openai-model", "openai-version", "x-litellm-response-cost"),
)
_MOST: Final = 50
_LONGEST: Final = 200
_COUNT: Final = re.compile(r"\d[\d.:+TZhms-]{0,30}", re.ASCII)
"""A number, a time or a duration: nothing of the kind has the form of a credential."""


def facts_of(reply: Reply, report: Reporter) -> dict[str, Any]:
    """The fields of a response that its headers give."""
    found = {
        name: value
        for name, value in reply.headers.items()
        if (name.startswith(_KEPT) or name in REQUEST_IDS) and len(value) <= _LONGEST
    }
    if not found:
        return {}
    # Services send a dozen of these with each reply. Usually no secret can be in any, and most are counts.
    report = report.about("\n".join(found.values()))
    kept: dict[str, str] = {}
    for name, value in found.items():
        # In a sentence, a value is recognised as a secret where it has the form of one.
        said = f"{name} {value}"
        if (_COUNT.fullmatch(value) and not report.secrets) or report.clean(said) == said.strip():
            kept[name] = value
        if len(kept) == _MOST:
            break
    request_id = next((kept[name] for name in REQUEST_IDS if kept.get(name)), None)
    return {"request_id": request_id, "headers": kept} if kept else {}
