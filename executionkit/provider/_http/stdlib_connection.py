"""One kept-alive HTTP/1.1 connection over blocking sockets: send a request, read its reply.

`http.client` reads the replies. Its `HTTPConnection` is not used: it makes the head anew for each request,
sends it apart from the body, and shows its socket only once it is connected, too late to end a connect.
"""

import http.client
import socket
import ssl
import threading
from contextlib import suppress

from executionkit._text import describe
from executionkit.provider._http.faults import BROKEN, CLOSED, SILENT, TransportError
from executionkit.provider._http.stdlib_dialing import Dialer
from executionkit.provider._http.stdlib_reading import Listener, read_reply
from executionkit.provider._http.transport import Dispatch, Endpoint, Reply

_PIECE = 16_384
"""The last bytes of a request, sent in one go: small enough that a free socket buffer takes them whole."""


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
                reply, _ = read_reply(sock, limit, call.arriving)
                return reply, False
            raise
        return read_reply(sock, limit, call.arriving)

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
