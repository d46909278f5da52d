"""Which certificate authorities the environment says to trust."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext


def trusting(create: "Callable[[], SSLContext]") -> "SSLContext":
    """A TLS context made by `create`. It is made once, because making one costs 15 ms.

    A file that SSL_CERT_FILE names is read anew once it has changed.

    Raises:
        OSError: It can't be read; the text names the variable and the path.
    """
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "")
    path = os.environ.get(variable, "")
    try:
        return _context(create, variable, path, _changed(variable, path))
    except OSError as exc:
        if not variable:
            raise
        why, number = f"{type(exc).__name__}: {exc.strerror or exc}", exc.errno
    failure = OSError(f"{variable} names {path!r}, which can't be used ({why})")
    failure.errno = number
    raise failure


def _changed(variable: str, path: str) -> int:
    """When the file was last changed; OpenSSL itself looks into directories anew."""
    if variable == "SSL_CERT_FILE":
        return os.stat(path).st_mtime_ns
    if variable == "SSL_CERT_DIR":
        # OpenSSL takes several, and passes over those that are not there. Here one of them has to be.
        os.listdir(next(filter(os.path.isdir, path.split(os.pathsep)), path))
    return 0


def default_context() -> "SSLContext":
    """The standard library's context: SSL_CERT_FILE, else SSL_CERT_DIR, else the system's store.

    Raises:
        OSError: The file named can't be read, or there is no descriptor to read the system's with.
    """
    import ssl

    _require_a_descriptor()
    cafile = os.environ.get("SSL_CERT_FILE") or None
    capath = None if cafile else os.environ.get("SSL_CERT_DIR") or None
    context = ssl.create_default_context(cafile=cafile, capath=capath)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_a_descriptor() -> None:
    """Without one OpenSSL passes over the system's store, and the context would trust no server at all."""
    os.close(os.open(os.devnull, os.O_RDONLY))


@lru_cache(maxsize=16)
def _context(create: "Callable[[], SSLContext]", _variable: str, _path: str, _time: int) -> "SSLContext":
    return create()
