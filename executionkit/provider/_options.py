"""The options of one call that belong to the request, not to its body: as in OpenAI's client."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from executionkit import _checks as checks
from executionkit._json import is_mapping, is_sequence
from executionkit._secrets import Secret
from executionkit.provider import _settings as settings
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Endpoint
from executionkit.provider._request import Arguments, own_field

_NAMES = ("timeout", "extra_headers", "extra_query", "extra_body")

_ELSEWHERE = {
    **dict.fromkeys(("headers", "default_headers", "extra_header"), "use extra_headers"),
    **dict.fromkeys(("default_query", "query_params"), "use extra_query"),
    **dict.fromkeys(("request_timeout", "stream_timeout", "read_timeout"), "use timeout"),
    **dict.fromkeys(
        ("api_key", "base_url", "api_base", "http_client"),
        "set it on the provider, with dataclasses.replace()",
    ),
    **dict.fromkeys(
        ("max_retries", "num_retries", "retry", "max_cost", "max_budget"),
        "a single call has neither retries nor a budget; the patterns and Kit do",
    ),
    "idempotency_key": "use extra_headers={'Idempotency-Key': ...}",
    "http_headers": "use extra_headers",
    "organization": "use extra_headers={'OpenAI-Organization': ...}",
    "api_version": "use extra_query={'api-version': ...}",
    "timeout_ms": "use timeout, in seconds",
    **dict.fromkeys(("server_url", "api_url"), "set base_url on the provider, with dataclasses.replace()"),
    "request_options": "use timeout, extra_headers, extra_query and extra_body",
    "retries": "a single call has no retries; the patterns and Kit do",
    "response_model": "a single call has no model to read the reply with; structured() does",
}
"""Options of other clients, which servers don't know as fields. In the body they were ignored or refused."""

_LOOKED_FOR = frozenset({*_NAMES, *_ELSEWHERE})


class Way(NamedTuple):
    """How one call goes: where to, within which limits; and who reports its errors."""

    endpoint: Endpoint
    limits: settings.Limits
    report: Reporter


def apart(call: Arguments, way: Way, max_tokens_field: str, *, streamed: bool) -> tuple[Arguments, Way]:
    """Take the options out of a call's keywords.

    Returns:
        The call without them but with the fields of `extra_body`, and the way changed by the others.

    Raises:
        TypeError: An option is of the wrong type or not known here, or would override what the client sets.
        ValueError: A time is out of range, or a header can't be sent.
    """
    if call.further.keys().isdisjoint(_LOOKED_FOR):
        return call, way
    for name in call.further:
        if name in _ELSEWHERE:
            raise TypeError(f"{name} is no field of the body: {_ELSEWHERE[name]}")
    given = {name: call.further[name] for name in _NAMES if call.further.get(name) is not None}
    further = {name: value for name, value in call.further.items() if name not in _NAMES}
    for name in _NAMES[1:]:
        if name in given and not is_mapping(given[name]):
            raise TypeError(f"{name} must be a mapping, got {type(given[name]).__name__}")
    body = given.get("extra_body", {})
    taken = own_field(body, max_tokens_field)
    if taken is not None:
        raise TypeError(f"extra_body {taken}")
    call = call._replace(further=further, extra_body={**call.extra_body, **body})
    if "timeout" in given:
        way = _limited(way, given["timeout"], streamed=streamed)
    if "extra_headers" in given:
        way = with_headers(way, _headers(given["extra_headers"]))
    if "extra_query" in given:
        target = _with_query(way.endpoint.target, given["extra_query"])
        way = way._replace(endpoint=way.endpoint._replace(target=target))
    return call, way


def _limited(way: Way, timeout: object, *, streamed: bool) -> Way:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, got {type(timeout).__name__}")
    checks.positive(timeout=timeout)
    # A stream may take longer than its silences, so a deadline that was set for the provider stays.
    deadline = way.limits.deadline if streamed else None
    endpoint = way.endpoint._replace(
        connect_timeout=min(way.endpoint.connect_timeout, timeout), timeout=timeout, whole_timeout=None
    )
    return way._replace(endpoint=endpoint, limits=way.limits._replace(timeout=timeout, deadline=deadline))


def _headers(given: Mapping[Any, Any]) -> Mapping[str, Secret]:
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str):
            kinds = f"{type(name).__name__} with a value of type {type(value).__name__}"
            raise TypeError(f"extra_headers must map names to texts, but holds a {kinds}")
        if name.lower() in settings.FRAMING:
            raise TypeError(f"extra_headers must not set {name}; the client sets it itself")
    return settings.secret_headers(given, "extra_headers")


def with_headers(way: Way, headers: Mapping[str, Secret]) -> Way:
    """Replace headers of the same name, and add the others; their values become secrets."""
    replaced = {name.lower() for name in headers}
    kept = [item for item in way.endpoint.headers if item[0].lower() not in replaced]
    endpoint = way.endpoint._replace(headers=(*kept, *headers.items()))
    return way._replace(endpoint=endpoint, report=way.report.knowing(headers.values()))


def has_header(way: Way, name: str) -> bool:
    """Whether a call sends this header; `name` is in lower case."""
    return any(given.lower() == name for given, _ in way.endpoint.headers)


def _with_query(target: str, query: Mapping[Any, Any]) -> str:
    """Put parameters into a request target; one of the same name in it is replaced."""
    from urllib.parse import quote, unquote_plus  # not at the top: importing the library must not load it

    path, _, standing = target.partition("?")
    names = set(map(str, query))
    # `tags[]=...` and `filter[x]=...` belong to the names before the bracket.
    kept = [
        item
        for item in filter(None, standing.split("&"))
        if unquote_plus(item.partition("=")[0]).partition("[")[0] not in names
    ]
    added = [f"{quote(name, safe='[]')}={quote(value, safe='')}" for name, value in _parameters("", query)]
    return "?".join(filter(None, (path, "&".join((*kept, *added)))))


def _parameters(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The parameters that a value stands for: `filter[x]=1`, `tags[]=a`, as OpenAI's client writes them."""
    if is_mapping(value):
        for key, item in value.items():
            yield from _parameters(f"{name}[{key}]" if name else str(key), item)
    elif is_sequence(value):
        for item in value:
            yield from _parameters(f"{name}[]", item)
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif isinstance(value, (str, int, float)):
        yield name, str(value).encode("utf-8", "replace").decode()
    elif value is not None:
        raise TypeError(f"extra_query can't hold a value of type {type(value).__name__} ({name})")
