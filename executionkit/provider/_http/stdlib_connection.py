"""One kept-alive HTTP/1.1 connection over blocking sockets: dial, send, read.

`http.client` reads the replies. Its `HTTPConnection` is not used: it makes the head anew for each request,
sends it apart from the body, and shows its socket only once it is connected, too late to end a connect.
"""

import errno
import http
import http.client
import io
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from executionkit._text import describe
from executionkit.provider._http.faults import (
    BROKEN,
    CLOSED,
    LATE,
    SILENT,
    TOO_LARGE,
    ConnectError,
    ProxyRefusedError,
    TransportError,
    connect_error,
)
from executionkit.provider._http.keep_alive import probe
from executionkit.provider._http.proxies import proxy_for
from executionkit.provider._http.tls import default_context, trusting
from executionkit.provider._http.transport import Dispatch, Endpoint, Reply

_PIECE = 16_384
"""The last bytes of a request, sent in one go: small enough that a free socket buffer takes them whole."""


class Listener(Protocol):
    """Takes a reply while it arrives."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head."""
        ...

    def feed(self, part: bytes) -> None:
        """Take the next part of the body."""
        ...


class Call:
    """One request on its way through a worker thread, abortable from the thread of the event loop.

    Holding the socket under a lock makes two things exact: a request is aborted before its last bytes are
    sent or after, and a socket is shut down only while this request is the one that uses it.

    Args:
        body: What to post.
        dispatch: Where to note that it leaves.
        endpoint: Where it goes, with which headers.
        silence: The most seconds the server may be silent; None where aborting ends the wait. Without a limit
            no step looks at the clock, and the thread fights less for the interpreter.
    """

    arriving: Listener | None = None

    def __init__(self, body: bytes, dispatch: Dispatch, endpoint: Endpoint, silence: float | None) -> None:
        self.body = body
        self.endpoint = endpoint
        self.silence = silence
        self._dispatch = dispatch
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def aborted(self) -> bool:
        """Whether the caller has given the request up."""
        return self._dispatch.called_off

    def hold(self, sock: socket.socket | None) -> None:
        """Note the socket that the call uses now; None when it has finished."""
        with self._lock:
            self._socket = sock
            if self._dispatch.called_off and sock is not None:
                raise TransportError(CLOSED)

    def send(self, sock: socket.socket, message: bytes) -> None:
        """Send the request, the last piece of it only when the call was not aborted."""
        last = max(0, len(message) - _PIECE)
        view = memoryview(message)
        for start in range(0, last, _PIECE):
            # Each by itself: a time limit on the socket is one on the whole of a sendall.
            sock.sendall(view[start : min(start + _PIECE, last)])
        with self._lock:
            if self._dispatch.called_off:
                raise TransportError(CLOSED)
            self._dispatch.sent = True
            sock.sendall(view[last:])

    def abort(self) -> None:
        """End the call now. A thread that waits on the socket wakes at once."""
        # The wait is for a sendall of one piece, microseconds; the limit is for a peer that stopped reading,
        # and then the shutdown is what ends it.
        locked = self._lock.acquire(timeout=0.05)
        try:
            self._dispatch.called_off = True
            if self._socket is not None:
                # Not SSLSocket.shutdown, which drops the encryption first: what the other thread sends at
                # that moment would leave in the clear.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            pass  # not connected yet, or no longer
        finally:
            if locked:
                self._lock.release()


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


class Connection:
    """A connection that stays open from one call to the next."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._socket: socket.socket | None = None

    def exchange(self, call: Call) -> Reply:
        """Post the call's body and read the whole reply; one handed on as it arrives has no body here.

        A connection that the server has closed meanwhile is replaced before anything is sent on it.
        """
        kept = False
        try:
            self.close_if_ended()
            if self._socket is None:
                self._socket = self._dialer.dial(call.hold, call.endpoint.connect_timeout)
            else:
                call.hold(self._socket)
            if self._socket.gettimeout() != call.silence:
                self._socket.settimeout(call.silence)
            reply, kept = self._converse(self._socket, call)
        except TransportError as exc:
            fault = exc
        except Exception as exc:  # noqa: BLE001  # a thread must always hand back an outcome
            fault = _fault(exc, call)
        else:
            return reply
        finally:
            call.hold(None)
            if not kept:
                self.close()
        raise TransportError(CLOSED) if call.aborted else fault

    def _converse(self, sock: socket.socket, call: Call) -> tuple[Reply, bool]:
        limit = self._dialer.endpoint.max_bytes
        try:
            call.send(sock, self._dialer.message(call.body, call.endpoint))
        except (ConnectionError, ssl.SSLError):
            # A server that won't read a request to its end may have said why before it hung up.
            with suppress(OSError, http.client.HTTPException):
                reply, _ = _read_reply(sock, limit, call.arriving)
                return reply, False
            raise
        return _read_reply(sock, limit, call.arriving)

    def close_if_ended(self) -> None:
        """Close the socket if the server has closed it, or has sent what no request asked for."""
        if self._socket is not None and not _is_idle(self._socket):
            self.close()

    def close(self) -> None:
        """Close the socket, if there is one."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()


def _fault(exc: Exception, call: Call) -> TransportError:
    # A timeout with a number is not our limit: the system has given the connection up.
    if isinstance(exc, TimeoutError) and exc.errno is None and call.silence is not None:
        return TransportError(SILENT.format(call.silence))
    return TransportError(f"{BROKEN} ({describe(exc)})")


# Where there is no such flag, on Windows, the socket itself must be told not to wait.
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)


def _is_idle(sock: socket.socket) -> bool:
    """Whether the socket is open with nothing to read: anything there would be the end, or not for us."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return False
    try:
        # A socket with a time limit waits that long even with the flag.
        if not _AT_ONCE or sock.gettimeout() is not None:
            sock.settimeout(0)
        # Beneath the encryption, where SSLSocket would refuse to peek.
        socket.socket.recv(sock, 1, socket.MSG_PEEK | _AT_ONCE)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _read_reply(sock: socket.socket, limit: int, listener: Listener | None) -> tuple[Reply, bool]:
    """Read one reply; also tell whether the connection may be used again."""
    reader = _Reader(sock)
    response = http.client.HTTPResponse(reader, method="POST")  # type: ignore[arg-type]  # asks it for makefile() alone
    try:
        _read_head(response)
        headers = {name.lower(): value for name, value in response.getheaders()}
        if listener is None:
            body = _read_body(response, limit)
        else:
            body = b""
            listener.begin(response.status, headers)
            while part := response.read1(65_536):
                listener.feed(part)
        if response.length:  # what is still to come of the declared length; read() itself doesn't mind
            raise http.client.IncompleteRead(b"", response.length)
    finally:
        response.close()
    ends = response.will_close or response.status == http.HTTPStatus.SWITCHING_PROTOCOLS
    return Reply(response.status, headers, body), not (ends or reader.has_surplus)


def _read_head(response: http.client.HTTPResponse) -> None:
    """Read the final head, and refuse one that can be read in two ways."""
    response.begin()
    while 101 < response.status < 200:  # an interim reply (RFC 9110, 15.2); http.client skips only 100
        response.headers = None  # type: ignore[assignment]  # or begin() would think that it has begun
        response.begin()
    if response.headers.defects:  # from there on http.client takes the headers for the body
        raise http.client.HTTPException("a malformed header line")
    # Of several lengths http.client takes the first, and it has no objection to a sign or an underscore.
    stated = ",".join(response.headers.get_all("Content-Length", []))
    lengths = {length.strip() for length in stated.split(",")}
    if stated and not (len(lengths) == 1 and lengths.pop().isdecimal()):
        raise http.client.HTTPException(f"its Content-Length is {stated!r}")


def _read_body(response: http.client.HTTPResponse, limit: int) -> bytes:
    declared = response.length or 0
    parts: list[bytes] = []
    size = 0
    while max(declared, size) <= limit and (part := response.read(min(65_536, limit + 1 - size))):
        parts.append(part)
        size += len(part)
    if max(declared, size) > limit:
        raise TransportError(TOO_LARGE.format(limit))
    return b"".join(parts)


class _Source(io.RawIOBase):
    """Reads from a socket until `stopped` is set."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.stopped = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        return None if self.stopped else self._socket.recv_into(buffer)


class _Reader(io.BufferedReader):
    """Reads one reply. Once it is closed, `has_surplus` tells whether more had come than was read."""

    has_surplus = False

    def __init__(self, sock: socket.socket) -> None:
        self._source = _Source(sock)
        super().__init__(self._source)

    def makefile(self, _mode: str) -> "_Reader":
        return self

    def close(self) -> None:
        if not self.closed:
            self._source.stopped = True
            self.has_surplus = bool(self.peek())
        super().close()
