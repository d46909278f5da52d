"""What a Provider is told, checked once: the address, the headers, the body fields."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from executionkit._json import is_collection, is_mapping
from executionkit._version import __version__
from executionkit.provider._http.transport import default_port
from executionkit.provider._request import encode, own_field
from executionkit.provider._secrets import LostSecret, Secret

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The back ends frame the message; a header that says otherwise would only break it.
_FRAMING = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)

_PATH = "/chat/completions"


def address(base_url: object) -> tuple[str, str, int, str]:
    """Read a base URL: its scheme, host, port, and the request target under it.

    Raises:
        ValueError: It is no http or https URL that a request can be sent to. The text shows nothing of the
            URL that can hold a credential.
    """
    from urllib.parse import quote, urlsplit  # not at the top: importing the library must not load it

    if not isinstance(base_url, str):
        raise ValueError(f"base_url must be a str, got {type(base_url).__name__}")
    if re.search(r"[\s\x00-\x1f\x7f\\]", base_url):
        raise ValueError("base_url must not contain whitespace, control characters or backslashes")
    try:
        parts = urlsplit(base_url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("base_url is no valid URL") from None
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
        raise ValueError("base_url must name a host, and if a port then one from 1 to 65535")
    path = parts.path.rstrip("/")
    if path.endswith(_PATH):
        raise ValueError(f"base_url must not end in {_PATH}, which is added to it")
    target = quote(path, safe="/%:@!$&'()*+,;=~") + _PATH
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~")
    return scheme, host, port or default_port(scheme), f"{target}?{query}" if query else target


def secret(value: object, name: str) -> Secret:
    """Take a key or a header's value, without the whitespace around it.

    Raises:
        ValueError: It can't travel in a header; the text doesn't show it.
    """
    if isinstance(value, LostSecret):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a str, got {type(value).__name__}")
    text = (value.reveal() if isinstance(value, Secret) else value).strip()
    if _UNPRINTABLE.search(text) or not _is_latin1(text):
        raise ValueError(f"{name} must not contain control characters or characters beyond Latin-1")
    return Secret(text)


def _is_latin1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def secret_headers(headers: object, *, has_key: bool) -> Mapping[str, Secret]:
    """Take extra headers, read-only and with their values hidden.

    Raises:
        ValueError: A name or value is malformed, a name comes twice or is one the client sets itself.
    """
    if not is_mapping(headers):
        raise ValueError(f"headers must be a mapping of str to str, got {type(headers).__name__}")
    checked: dict[str, Secret] = {}
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise ValueError(f"headers has a malformed name, {name!r}")
        lower = name.lower()
        if lower in _FRAMING:
            raise ValueError(f"headers must not set {name}, which the client sets itself")
        if lower in seen:
            raise ValueError(f"headers has {name} twice")
        if lower == "authorization" and has_key:
            raise ValueError("headers must not set Authorization beside api_key; leave one of them out")
        seen.add(lower)
        checked[name] = secret(value, f"headers[{name!r}]")
    return MappingProxyType(checked)


def all_headers(key: Secret, extra: Mapping[str, Secret]) -> tuple[tuple[str, Secret], ...]:
    """The headers of every request, but Host and Content-Length; the extra ones replace ours."""
    own = {
        "Accept": "application/json",
        "User-Agent": f"executionkit/{__version__}",
        **({"Authorization": f"Bearer {key.reveal()}"} if key else {}),
    }
    replaced = {name.lower() for name in extra}
    kept = [(name, Secret(value)) for name, value in own.items() if name.lower() not in replaced]
    fixed = [("Content-Type", Secret("application/json")), ("Accept-Encoding", Secret("gzip"))]
    return (*kept, *extra.items(), *fixed)


def check_names(omit: object) -> None:
    """Require `omit` to be a collection of body fields that a request can do without.

    Raises:
        ValueError: It is not.
    """
    if not is_collection(omit) or not all(isinstance(name, str) for name in omit):
        raise ValueError(f"omit must be a collection of field names, got {omit!r}")
    for name in ("model", "messages", "stream"):
        if name in omit:
            raise ValueError(f"omit must not contain {name!r}, which every request needs")


def check_body(extra_body: object, max_tokens_field: str) -> None:
    """Require `extra_body` to be JSON, and to set nothing that the client sets.

    Raises:
        ValueError: It is not, or does.
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
