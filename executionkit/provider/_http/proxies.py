"""The proxy that the environment names, read once and for all back ends alike."""

import base64
import os
import re
from typing import NamedTuple

from executionkit._secrets import Secret

_USABLE = {
    "http": ("httpx2", "httpx", "aiohttp", "stdlib"),
    "https": ("httpx2", "httpx", "aiohttp"),
    "socks5": ("httpx2", "httpx"),
    "socks5h": ("httpx2", "httpx"),
}
"""Which back ends can use a kind of proxy."""

_PORTS = {"https": 443, "socks5": 1080, "socks5h": 1080}
_NAME = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


class Proxy(NamedTuple):
    """A proxy.

    Attributes:
        scheme: "http", "https", "socks5" or "socks5h".
        host: Name or address, in ASCII, an IPv6 address without brackets.
        port: The port. Defaults to the scheme's own.
        user: The user name; empty where the proxy asks for no login.
        password: The password, which may be empty.
        variable: The variable that names the proxy.
    """

    scheme: str
    host: str
    port: int
    user: Secret
    password: Secret
    variable: str

    @property
    def authority(self) -> str:
        """Host and port, without user and password."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def authorization(self) -> Secret:
        """The value of Proxy-Authorization; empty where there is no user."""
        if not self.user and not self.password:
            return Secret("")
        pair = f"{self.user.reveal()}:{self.password.reveal()}"
        return Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What no message may contain; a user without a password is a token."""
        return tuple(secret for secret in (self.password or self.user, self.authorization) if secret)

    def __str__(self) -> str:
        return f"the proxy {self.authority} ({self.variable})"


def proxy_for(scheme: str, host: str, port: int, backend: str) -> Proxy | None:
    """The proxy to use: from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system's settings.

    Args:
        scheme: "http" or "https".
        host: The server's name or address, an IPv6 address without brackets.
        port: The server's port.
        backend: What is to use it.

    Returns:
        The proxy, or None to connect directly.

    Raises:
        ValueError: The value names no proxy, or a proxy that the back end can't use. The text names the
            variable and shows no part of its value that can hold a credential.
    """
    from urllib.request import getproxies, proxy_bypass  # heavy, and needed only once a client is made

    named = {kind: value for kind, value in getproxies().items() if value.strip()}
    kind = scheme if scheme in named else "all"
    # In NO_PROXY some write an IPv6 address in brackets, as in a URL.
    places = {f"{host}:{port}", f"{_bracketed(host)}:{port}"}
    if kind not in named or any(map(proxy_bypass, places)):
        return None
    variable = _variable(kind, named[kind])
    proxy = _read(named[kind].strip(), variable)
    if proxy is None:
        raise ValueError(
            f"{variable} must be a URL like http://host:3128; in a user name or password, characters such as "
            "/ # ? [ @ must be percent-encoded, as UTF-8"
        )
    able = _USABLE.get(proxy.scheme)
    if able is None:
        raise ValueError(f"{variable} must name a proxy of one of these kinds: {', '.join(_USABLE)}")
    if backend not in able:
        raise ValueError(
            f"{variable} names a proxy of the kind {proxy.scheme}, which the back end {backend} can't use; "
            f"{', '.join(able)} can"
        )
    return proxy


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _variable(kind: str, value: str) -> str:
    """Where a proxy was found, lower case first, as `getproxies` looks."""
    lower = f"{kind}_proxy"
    names = (lower, *os.environ)
    found = (name for name in names if name.lower() == lower and os.environ.get(name) == value)
    return next(found, "the system's settings")


def _read(text: str, variable: str) -> Proxy | None:
    """Read a proxy's URL; None for any other text."""
    from urllib.parse import unquote, urlsplit  # not at the top: importing the library must not load it

    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode()
        user = unquote(parts.username or "", errors="strict")
        password = unquote(parts.password or "", errors="strict")
        f"{user}{password}".encode()  # bytes of an environment that are no UTF-8 come as half characters
    except ValueError:
        return None
    # An @ further on: the password has a / or # or ?, and what is taken for the host is the user.
    if "@" in f"{parts.path}?{parts.query}#{parts.fragment}" or port == 0 or not _NAME.fullmatch(host):
        return None
    port = port or _PORTS.get(parts.scheme, 80)
    return Proxy(parts.scheme, host, port, Secret(user), Secret(password), variable)
