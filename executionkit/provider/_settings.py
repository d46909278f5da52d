"""The settings of a Provider, checked once: the address, the secrets, the limits, the body fields."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from executionkit._json import is_collection, is_mapping
from executionkit._secrets import LostSecret, Secret
from executionkit.provider._http.faults import TransportError
from executionkit.provider._http.transport import default_port
from executionkit.provider._request import encode, own_field

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The back ends frame the message. A header that contradicts them would break the request.
FRAMING = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)

_PATH = "/chat/completions"


class Limits(NamedTuple):
    """How long a call may take, and how much its reply may bring.

    Attributes:
        timeout: The most seconds the server may be silent.
        deadline: The most seconds that a call may take altogether. None limits a whole reply, and the wait
            for the beginning of a streamed one, to `timeout`.
        max_bytes: The most bytes of a reply; for a stream, of one event and of all its texts.
    """

    timeout: float
    deadline: float | None
    max_bytes: int

    @property
    def whole(self) -> float:
        """The most seconds until a whole reply, or the beginning of a streamed one, is there."""
        return self.timeout if self.deadline is None else self.deadline

    def overrun(self) -> TransportError:
        """The fault of a call that took longer than `whole`."""
        setting = "timeout" if self.deadline in (None, self.timeout) else "deadline"
        return TransportError(f"no complete reply within {self.whole:g} s ({setting})")


def text(value: object, name: str, hint: str = "") -> str:
    """Require a str.

    Raises:
        ValueError: It is something else; the message doesn't show it. None gets a hint at its usual source.
    """
    if value is None:
        raise ValueError(
            f"{name} must be a str, got None; if it comes from os.environ.get(...), the environment variable "
            f"is not set{hint}"
        )
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str, got {type(value).__name__}")
    return value


def address(base_url: object) -> tuple[str, str, int, str]:
    """Read a base URL: its scheme, host and port, and the request target.

    Raises:
        ValueError: It is not an http or https URL that a request can be sent to. The message shows no part of
            the URL that can hold a credential.
    """
    from urllib.parse import quote, urlsplit  # not at the top: importing the library must not load it

    base_url = text(base_url, "base_url")
    if re.search(r"[\s\x00-\x1f\x7f\\]", base_url):
        raise ValueError("base_url must not contain whitespace, control characters or backslashes")
    try:
        parts = urlsplit(base_url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("base_url is not a valid URL; it must look like https://host/v1") from None
    if scheme not in ("http", "https"):
        raise ValueError(f"base_url must start with http:// or https://, got scheme {scheme!r}")
    if "@" in parts.netloc:
        raise ValueError("base_url must not contain a user name or password; use api_key or headers")
    if "#" in base_url:
        raise ValueError("base_url must not contain a fragment (#...)")
    try:
        # The zone of an address: "%25eth0" in a URL.
        host = host.replace("%25", "%") if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        host = ""
    if not host or port == 0:
        raise ValueError("base_url must name a host; a port must be from 1 to 65535")
    path = parts.path.rstrip("/")
    if path.endswith(_PATH):
        raise ValueError(f"base_url must not end in {_PATH}; the client adds that")
    target = quote(path, safe="/%:@!$&'()*+,;=~") + _PATH
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~")
    return scheme, host, port or default_port(scheme), f"{target}?{query}" if query else target


def secret(value: object, name: str, hint: str = "") -> Secret:
    """Take a key or a header's value, without the whitespace around it.

    Raises:
        ValueError: It can't be sent in a header. The message doesn't show it.
    """
    if isinstance(value, LostSecret):
        return value
    given = text(value, name, hint)
    given = (given.reveal() if isinstance(given, Secret) else given).strip()
    if _UNPRINTABLE.search(given) or not _is_latin1(given):
        raise ValueError(f"{name} must not contain control characters or characters beyond Latin-1")
    return Secret(given)


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def secret_headers(
    headers: object, setting: str = "headers", *, has_key: bool = False
) -> Mapping[str, Secret]:
    """Take extra headers: read-only, with their values hidden.

    Raises:
        ValueError: A name or value is malformed, a name comes twice, or the client sets that header itself.
    """
    if not is_mapping(headers):
        raise ValueError(f"{setting} must be a mapping of names to values, got {type(headers).__name__}")
    checked: dict[str, Secret] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise ValueError(f"{setting} holds {name!r}, which is not a valid header name")
        lower = name.lower()
        if lower in FRAMING:
            raise ValueError(f"{setting} must not set {name}; the client sets it itself")
        if lower in seen:
            raise ValueError(f"{setting} holds {name} twice; upper and lower case are the same")
        if lower == "authorization" and has_key:
            raise ValueError(f"{setting} must not set Authorization beside api_key; give only one of them")
        seen.add(lower)
        checked[name] = secret(value, f"{setting}[{name!r}]")
    return MappingProxyType(checked)


def check_names(omit: object) -> None:
    """Require `omit` to be a collection of body fields that a request can do without.

    Raises:
        ValueError: It is something else, or holds a field that every request needs.
    """
    if not is_collection(omit) or not all(isinstance(field, str) for field in omit):
        raise ValueError(f"omit must be a collection of field names, got {omit!r}")
    for field in ("model", "messages", "stream"):
        if field in omit:
            raise ValueError(f"omit must not contain {field!r}; every request needs it")


def check_turn_fields(omit_from_turns: object) -> None:
    """Require `omit_from_turns` to be a collection of fields that an assistant message can do without.

    Raises:
        ValueError: It is something else, or holds a field that every turn needs.
    """
    if not is_collection(omit_from_turns) or not all(isinstance(field, str) for field in omit_from_turns):
        raise ValueError(f"omit_from_turns must be a collection of field names, got {omit_from_turns!r}")
    for field in ("role", "content", "tool_calls", "id", "type", "function"):
        if field in omit_from_turns:
            raise ValueError(f"omit_from_turns must not contain {field!r}; every turn needs it")


def check_body(extra_body: object, max_tokens_field: str) -> None:
    """Require `extra_body` to be JSON, without the fields that the client sets.

    Raises:
        ValueError: It is not JSON, or sets such a field.
    """
    if not is_mapping(extra_body):
        raise ValueError(f"extra_body must be a mapping, got {type(extra_body).__name__}")
    taken = own_field(extra_body, max_tokens_field)
    if taken is not None:
        raise ValueError(f"extra_body {taken}")
    try:
        encode(extra_body)
    except (ValueError, TypeError) as exc:
        raise ValueError(f"extra_body can't be sent as JSON: {exc}") from None
