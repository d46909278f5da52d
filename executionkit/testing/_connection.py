"""One client connection: it reads requests one by one, writes the replies, and breaks off on demand."""

import asyncio
import contextlib
import socket
import struct
from typing import cast

from executionkit.testing._http import MAX_HEAD, BadRequestError, Head, Reply, error_reply, parse_head
from executionkit.testing._service import Service


class Connection(asyncio.Protocol):
    """The protocol of one connection, with keep-alive. Pipelined requests are answered in turn.

    Args:
        service: Counts and answers the requests.
        open_connections: The set that holds the connection while it is open.
    """

    _transport: asyncio.Transport

    def __init__(self, service: Service, open_connections: set["Connection"]) -> None:
        self._service = service
        self._open_connections = open_connections
        self._received = bytearray()
        # The request being read or answered, and its number if it is a call.
        self._head: Head | None = None
        self._number: int | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._service.activity += 1
        self._open_connections.add(self)
        self._service.books.connected()

    def data_received(self, data: bytes) -> None:
        """Collect bytes; read the next request unless one is being answered."""
        self._service.activity += 1
        self._received += data
        if self._task is None:
            self._read()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the protocol's signature
        """Give up the request: the client is gone."""
        self._service.activity += 1
        self._open_connections.discard(self)
        if self._task is not None:
            self._task.cancel()
        self._give_up()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._transport.abort()

    def _read(self) -> None:
        """Read one request from what was received, and start to answer it once it is whole."""
        if self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0 and len(self._received) <= MAX_HEAD:
                return
            try:
                if not 0 <= end <= MAX_HEAD:
                    raise BadRequestError("the headers are too long")
                head = parse_head(bytes(self._received[:end]))
            except BadRequestError as error:
                self._refuse(f"Bad request: {error}.")
                return
            del self._received[: end + 4]
            self._head = head
        length = self._head.length
        if len(self._received) >= length:
            body = bytes(self._received[:length])
            del self._received[:length]
            # A request counts as a call only once it is whole, here as on any server.
            self._number = self._service.arrived(self._head)
            self._task = asyncio.get_running_loop().create_task(self._serve(self._head, body))

    async def _serve(self, head: Head, body: bytes) -> None:
        reply = await self._service.reply(head, self._number, body)
        await self._write(head, reply)
        self._head = self._number = self._task = None
        if self._received and not self._transport.is_closing():
            self._read()

    async def _write(self, head: Head, reply: Reply) -> None:
        transport = self._transport
        close = not head.keep_alive
        data = reply.to_bytes(close=close)
        sent = 0
        if reply.stalls_after is not None:
            sent = reply.stalled_at(data, reply.stalls_after)
            # Taken before the first bytes go out, because the client may release it as soon as it has them.
            hung = self._service.hung
            transport.write(data[:sent])
            await hung.wait()
        if transport.is_closing():
            self._give_up()
            return
        # Entered before it is sent, so that a client that has the reply finds it in the ledger.
        if self._number is not None:
            if reply.breaks is None:
                self._service.books.answered(reply.status, reply.input_tokens, reply.output_tokens)
            else:
                self._service.books.answered(None if reply.breaks == "start" else reply.status)
        transport.write(data[sent:])
        if reply.resets:
            _reset(transport)
        elif close or reply.breaks is not None:
            transport.close()

    def _give_up(self) -> None:
        if self._number is not None:
            self._number = None
            self._service.books.abandoned()

    def _refuse(self, message: str) -> None:
        self._transport.write(error_reply(400, message).to_bytes(close=True))
        self._transport.close()


def _reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN, as a socket does that lingers for zero seconds."""
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    transport.abort()
