"""Opening a connection with blocking sockets: addresses, proxy, TLS."""

import errno
import http.client
import os
import select
import socket
import time
from collections.abc import Callable

from executionkit._text import describe
from executionkit.provider._http.faults import (
    LATE,
    ConnectError,
    ProxyRefusedError,
    TransportError,
    connect_error,
)
from executionkit.provider._http.keep_alive import probe
from executionkit.provider._http.proxies import proxy_for
from executionkit.provider._http.tls import default_context, trusting
from executionkit.provider._http.transport import Endpoint


class Dialer:
    """Makes connections to one endpoint, through the environment's proxy if there is one."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._context = trusting(default_context) if endpoint.scheme == "https" else None
        self._address = endpoint.host, endpoint.port
        self._answered: object = None
        self._tunnel = b""
        self._login = ""
        self.proxy = proxy_for(endpoint.scheme, endpoint.host, endpoint.port, "stdlib")
        if self.proxy is not None:
            self._address = self.proxy.host, self.proxy.port
            if self.proxy.authorization:
                self._login = f"Proxy-Authorization: {self.proxy.authorization.reveal()}\r\n"
            if self._context is not None:
                place = endpoint.authority
                place = place if endpoint.port != 443 else f"{place}:443"
                self._tunnel = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{self._login}\r\n".encode()
                self._login = ""
        self._head = self._head_for(endpoint)

    def _head_for(self, endpoint: Endpoint) -> bytes:
        target = endpoint.url if self.proxy is not None and self._context is None else endpoint.target
        lines = "".join(f"{name}: {value.reveal()}\r\n" for name, value in endpoint.headers)
        head = f"POST {target} HTTP/1.1\r\nHost: {endpoint.authority}\r\n{lines}{self._login}Content-Length: "
        return head.encode("latin-1")

    def message(self, body: bytes, endpoint: Endpoint) -> bytes:
        """The whole request, head and body in one piece."""
        head = self._head if endpoint is self.endpoint else self._head_for(endpoint)
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)

    def dial(self, hold: Callable[[socket.socket], None], limit: float) -> socket.socket:
        """Connect within `limit` seconds, handing every socket to `hold` before waiting on it."""
        sock = None
        deadline = time.monotonic() + limit
        try:
            sock = self._connect(hold, deadline)
            return self._prepare(sock, hold, deadline)
        except Exception as exc:  # noqa: BLE001  # any exception means: not connected
            if sock is not None:
                sock.close()
            is_late = isinstance(exc, TimeoutError) and exc.errno is None  # not the system's own
            unmade = ConnectError(LATE.format(limit)) if is_late else connect_error(describe(exc))
            fault = exc if isinstance(exc, TransportError) else unmade
        raise fault

    def _connect(self, hold: Callable[[socket.socket], None], deadline: float) -> socket.socket:
        failure = OSError("the name has no address")
        found = socket.getaddrinfo(*self._address, type=socket.SOCK_STREAM)
        # The address that answered comes first, so that a dead one takes its share of the time only once.
        found.sort(key=lambda place: place[4] != self._answered)
        for number, (family, kind, protocol, _, address) in enumerate(found):
            sock = socket.socket(family, kind, protocol)
            try:
                limit = _until(deadline) / (len(found) - number)
                sock.settimeout(0)
                refused = sock.connect_ex(address)
                # Not before: an abort ends a connect that is under way, and does nothing to one that is not.
                hold(sock)
                if refused not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
                    raise OSError(refused, os.strerror(refused))
                _await_connected(sock, limit)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                probe(sock)
            except (OSError, TransportError) as exc:
                sock.close()
                if isinstance(exc, TransportError):
                    raise
                failure = exc
            else:
                self._answered = address
                return sock
        raise failure

    def _prepare(
        self, sock: socket.socket, hold: Callable[[socket.socket], None], deadline: float
    ) -> socket.socket:
        sock.settimeout(_until(deadline))
        if self._tunnel:
            sock.sendall(self._tunnel)
            response = http.client.HTTPResponse(sock, method="CONNECT")
            try:
                response.begin()
            finally:
                response.close()
            if response.status != 200:
                raise ProxyRefusedError(response.status)
        if self._context is not None:
            host = self.endpoint.host
            sock = self._context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            try:
                hold(sock)
                sock.settimeout(_until(deadline))
                sock.do_handshake()
            except BaseException:
                sock.close()  # the wrapped socket has taken the descriptor over from the bare one
                raise
        return sock


def _await_connected(sock: socket.socket, seconds: float) -> None:
    """Wait until a connect has succeeded; raise the error that it failed with."""
    if hasattr(select, "poll"):
        waiting = select.poll()
        waiting.register(sock, select.POLLOUT)
        ready = bool(waiting.poll(seconds * 1000))
    else:  # pragma: no cover - Windows has no poll, and its select takes any socket
        ready = any(select.select([], [sock], [sock], seconds))
    if not ready:
        raise TimeoutError
    if refused := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(refused, os.strerror(refused))


def _until(deadline: float) -> float:
    """The seconds that are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
