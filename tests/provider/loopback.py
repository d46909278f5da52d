"""A loopback HTTP server that does exactly what a test says, byte by byte, and counts what it was sent."""

import asyncio
import contextlib
import importlib.util
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from executionkit.provider import Provider

BACKENDS = [*(name for name in ("httpx", "httpx2", "aiohttp") if importlib.util.find_spec(name)), "stdlib"]
"""What is installed here: without a library there is no test of it, rather than one that is skipped."""

USER = [{"role": "user", "content": "hello"}]


def http(body: bytes | str, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP reply."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def completion(content: str = "hi", **message: Any) -> dict[str, Any]:
    """The body of a completion."""
    return {
        "id": "chatcmpl-1",
        "choices": [
            {"message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


def reply(content: str = "hi", **message: Any) -> bytes:
    """A whole HTTP reply with a completion."""
    return http(json.dumps(completion(content, **message)))


EVENT_STREAM = "Content-Type: text/event-stream"
DONE = "data: [DONE]\n\n"
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One piece of a streamed completion."""
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def frames(*chunks: Any) -> str:
    """Server-sent events."""
    return "".join(f"data: {json.dumps(item)}\n\n" for item in chunks)


def stream(*chunks: Any, end: str = DONE) -> bytes:
    """A whole HTTP reply with a stream."""
    return http(frames(*chunks) + end, "200 OK", EVENT_STREAM)


HELLO = (chunk(role="assistant", content=""), chunk(content="Hel"), chunk(content="lo"), chunk("stop"), USAGE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def piece(text: str) -> bytes:
    """One chunk of a reply whose length is not declared."""
    raw = text.encode()
    return b"%x\r\n%b\r\n" % (len(raw), raw)


class MakeProvider(Protocol):
    """Makes a Provider for the server, on the back end under test."""

    def __call__(self, **settings: Any) -> Provider: ...


@dataclass
class Request:
    """A request as the server read it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Gate:
    """Opened by the test, waited for by the server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


@dataclass
class Connection:
    """What a script does to the client."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: bool = False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.closed = True
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.closed = True
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def shut(self) -> None:
        """Close at once, without waiting for a turn of the loop."""
        self.closed = True
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def read_request(self) -> Request | None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, self.number)


Script = Callable[[Request, Connection], Awaitable[None]]


@dataclass
class Server:
    """A server in a thread of its own, so that it serves clients in any thread and loop.

    Attributes:
        script: What to do with a request; a list of replies is sent in order, the last one again and again.
        requests: All requests read whole, so all that a real server could have acted on.
        connections: How many connections there were.
        open: How many there are.
        peak: The most requests that were held at once.
    """

    tls: ssl.SSLContext | None = None
    script: Script | bytes | list[bytes] = field(default_factory=reply)
    on_connect: Callable[[Connection], Awaitable[bool]] | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    held: int = 0
    peak: int = 0
    port: int = 0

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="test-server")
        self._thread.start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        asyncio.run(self._main(ready))

    async def _main(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        # A failed handshake is what some tests are about; asyncio would log it.
        self.loop.set_exception_handler(lambda *_: None)
        self._stop = asyncio.Event()
        self._changed = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self._own_tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(
            self._connected,
            "127.0.0.1",
            0,
            ssl=self.tls,
            ssl_handshake_timeout=5.0 if self.tls else None,
            ssl_shutdown_timeout=1.0 if self.tls else None,
            backlog=1000,
            limit=2**24,
        )
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        # A task of asyncio's that is accepting a connection at this moment would leave its socket open if it
        # were cancelled, or the server closed: so no more are accepted, and only tasks of ours are cancelled.
        self.loop.remove_reader(server.sockets[0].fileno())
        while tasks := {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}:
            for task in self._own_tasks:
                if not task.cancelling():
                    task.cancel()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        server.close()
        for writer in self._writers:
            if not writer.is_closing():
                writer.transport.abort()
        # Closing takes a turn of the loop, and over TLS the client's word or the server's patience.
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Kept here, because a task that is cancelled before it has begun closes nothing.
        self._writers.append(writer)
        self._own(self.loop.create_task(self._serve(reader, writer)))

    def _own(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._own_tasks.add(task)
            task.add_done_callback(self._own_tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        connection = Connection(self.connections, reader, writer)
        try:
            await self._notify()
            if self.on_connect is not None and not await self.on_connect(connection):
                return
            while not connection.closed:
                request = await connection.read_request()
                if request is None:
                    break
                self.requests.append(request)
                self.held += 1
                self.peak = max(self.peak, self.held)
                await self._notify()
                try:
                    await self._answer(request, connection)
                finally:
                    self.held -= 1
                await self._notify()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open -= 1
            writer.close()
            await self._notify()

    async def _answer(self, request: Request, connection: Connection) -> None:
        script = self.script
        if callable(script):
            await script(request, connection)
            return
        if isinstance(script, list):
            await connection.send(script.pop(0) if len(script) > 1 else script[0])
        else:
            await connection.send(script)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, condition: Callable[[], bool]) -> None:
        self._own(asyncio.current_task())
        async with self._changed:
            await self._changed.wait_for(condition)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, in the test's loop, until something is true of the server."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._until(condition), self.loop))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """The same for a test without a loop."""
        asyncio.run_coroutine_threadsafe(self._until(condition), self.loop).result()

    def gate(self) -> Gate:
        return Gate(self.loop)

    def hold(self, then: bytes | None = None) -> Gate:
        """Answer nothing until the gate is opened; a client that leaves before is let go."""
        gate = self.gate()
        answer = reply() if then is None else then

        async def script(request: Request, connection: Connection) -> None:
            opened, left = (
                asyncio.ensure_future(gate.wait()),
                asyncio.ensure_future(connection.reader.read(1)),
            )
            try:
                await asyncio.wait({opened, left}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                opened.cancel()
                left.cancel()
                await asyncio.wait({opened, left})
            if left.cancelled():
                await connection.send(answer)
            else:
                connection.close()

        self.script = script
        return gate

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, and its end."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def relay_to(port: int, connection: Connection) -> None:
    """Connect a client to a port of this machine, until both have ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(relay(connection.reader, writer), relay(reader, connection.writer))
    finally:
        writer.close()
        connection.close()
        # The server's loop may end as soon as this task has: closing takes a turn of it.
        with contextlib.suppress(OSError):
            await writer.wait_closed()
