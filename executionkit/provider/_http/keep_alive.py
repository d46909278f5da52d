"""TCP keep-alive: a router or a load balancer on the way then doesn't forget a call that takes minutes."""

import socket
from contextlib import suppress
from typing import Any

# Seconds until the first probe, seconds between two, and how many may be lost; macOS has a name of its own.
_OPTIONS = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def probe(sock: Any) -> None:
    """Have the system probe a connection while nothing is sent, where the platform can."""
    with suppress(OSError, AttributeError):  # a socket of another kind, or one that has ended
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
