"""Which certificate authorities the environment says to trust."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ssl import SSLContext

_Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


def trusting(create: "Callable[[], SSLContext]") -> "SSLContext":
    """A TLS context made by `create`, shared by all who ask for the same: making one costs 15 ms.

    What SSL_CERT_FILE or SSL_CERT_DIR names is read anew once it has changed.

    Raises:
        OSError: It can't be read; the text names the variable and the path.
    """
    variable = next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), "")
    path = os.environ.get(variable, "")
    try:
        return _context(create, variable, path, _stamp(variable, path))
    except OSError as exc:
        if not variable:
            raise
        why = f"{type(exc).__name__}: {exc.strerror or exc}"
    raise OSError(f"{variable} names {path!r}, which can't be used ({why})")


def _stamp(variable: str, path: str) -> _Stamp:
    """What tells a file or a directory from what it was before."""
    places = [path] if variable else []
    if variable == "SSL_CERT_DIR":
        # OpenSSL takes several, and passes over those that are not there; here one of them has to be.
        places = [place for place in path.split(os.pathsep) if os.path.isdir(place)] or places
        os.listdir(places[0])
    found = [os.stat(place) for place in places]
    return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)


def default_context() -> "SSLContext":
    """The standard library's context: SSL_CERT_FILE, else SSL_CERT_DIR, else the system's store.

    Raises:
        OSError: The file named can't be read.
    """
    import ssl

    cafile = os.environ.get("SSL_CERT_FILE") or None
    capath = None if cafile else os.environ.get("SSL_CERT_DIR") or None
    context = ssl.create_default_context(cafile=cafile, capath=capath)
    context.set_alpn_protocols(["http/1.1"])
    return context


@lru_cache(maxsize=16)
def _context(create: "Callable[[], SSLContext]", _variable: str, _path: str, _stamp: _Stamp) -> "SSLContext":
    return create()
