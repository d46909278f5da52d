"""What the environment says about the way out: proxies, and which certificate authorities to trust."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from executionkit.provider._transport import Endpoint

if TYPE_CHECKING:
    from ssl import SSLContext


def proxy_for(endpoint: Endpoint) -> str | None:
    """The proxy to use: from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or the system's settings.

    Returns:
        A URL, or None to connect directly.
    """
    from urllib.request import getproxies, proxy_bypass  # heavy, and needed only once a client is made

    proxies = getproxies()
    proxy = proxies.get(endpoint.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{endpoint.host}:{endpoint.port}"):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def trusting(create: "Callable[[], SSLContext]") -> "SSLContext":
    """A TLS context made by `create`, shared by all who ask for the same: making one costs 15 ms."""
    return _context(create, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def default_context() -> "SSLContext":
    """The standard library's context: SSL_CERT_FILE, else SSL_CERT_DIR, else the system's store.

    Raises:
        OSError: The file or directory named can't be read.
    """
    import ssl

    # Named outright, because OpenSSL itself would pass over a file that isn't there.
    cafile = os.environ.get("SSL_CERT_FILE") or None
    capath = None if cafile else os.environ.get("SSL_CERT_DIR") or None
    context = ssl.create_default_context(cafile=cafile, capath=capath)
    context.set_alpn_protocols(["http/1.1"])
    return context


@lru_cache(maxsize=16)
def _context(create: "Callable[[], SSLContext]", _file: str | None, _directory: str | None) -> "SSLContext":
    return create()
