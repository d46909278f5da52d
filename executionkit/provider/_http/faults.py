"""Why no reply came: the faults of every back end, and their wording."""

import re

# The wording of faults is shared, so that the same failure reads the same whichever back end met it.
CONNECT = "could not connect ({})"
LATE = "could not connect within {:g} s (connect_timeout)"
BROKEN = "the connection broke before the reply was complete"
SILENT = "nothing was heard for {:g} s (timeout)"
TOO_LARGE = "the reply is larger than max_response_bytes ({})"
CLOSED = "the provider was closed while the request was under way"

_NO_TLS = re.compile("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|UNKNOWN_PROTOCOL")
"""OpenSSL's names for a first record that is not TLS; which of them depends on its version."""


class TransportError(Exception):
    """No reply came; the text says why. A library's exception is never chained to it: it may hold headers."""


class OverrunError(TransportError):
    """The request took longer than it may. The session says which of its limits that was."""


class ConnectError(TransportError):
    """No connection came about, so nothing was sent."""


def connect_error(words: str) -> ConnectError:
    """The fault for a connection that did not come about; `words` are the library's."""
    if _NO_TLS.search(words):
        words = (
            "no TLS is spoken on this port: a URL that begins with https:// may have to begin with http://"
        )
    return ConnectError(CONNECT.format(words))


class ProxyRefusedError(ConnectError):
    """The proxy answered CONNECT with a status other than 200.

    Args:
        status: The status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(CONNECT.format(f"the proxy answered {status_line(status)}"))
        self.status = status


def status_line(status: int) -> str:
    """A status with its usual words; a server's own could be any text."""
    from http import HTTPStatus  # not at the top: importing the library must not load it

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
