"""The servers of `wire.py`, in processes of their own so that their work isn't counted.

`python server.py [CERTIFICATE KEY]` answers completions and prints its port; the path says how:
`/after/0.5/v1/chat/completions` half a second later, `/long/v1/...` with 100,000 characters. `GET /seen`
tells how many connections there were since the last time, and the most requests that were under way at once.
"""

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

LONG = 100_000


def completion(text: str) -> bytes:
    """A reply as large as OpenAI's: 487 bytes with a short text."""
    usage = {
        "prompt_tokens": 24,
        "completion_tokens": 12,
        "total_tokens": 36,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {
        "id": "chatcmpl-BdkZzYxWvUtSrQpOnMlKjIhGfEdCb",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "bench-model",
        "choices": [choice],
        "usage": usage,
        "system_fingerprint": "fp_44709d6fcb",
    }
    return json.dumps(body, separators=(",", ":")).encode()


SHORT_REPLY = completion("The answer is forty-two.")
LONG_REPLY = completion("lorem ipsum, dolor sit " * (LONG // 23))


class Seen:
    """What the server has seen since it was asked last."""

    connections = 0
    at_once = 0
    most_at_once = 0

    def tell(self) -> bytes:
        """Tell it, and begin anew."""
        told = json.dumps({"connections": self.connections, "at_once": self.most_at_once}).encode()
        self.connections = self.most_at_once = 0
        return told


class Answering(asyncio.Protocol):
    """One connection."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._seen.connections += 1

    def data_received(self, data: bytes) -> None:
        self._rest += data
        head, gap, body = self._rest.partition(b"\r\n\r\n")
        if not gap:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self._rest = b""
        path = lines[0].split(b" ")[1].split(b"/")
        if path[1] == b"seen":
            self._seen.connections -= 1  # the one that asks
            self._send(self._seen.tell())
            return
        self._seen.at_once += 1
        self._seen.most_at_once = max(self._seen.most_at_once, self._seen.at_once)
        if path[1] == b"after":
            asyncio.get_running_loop().call_later(float(path[2]), self._reply, SHORT_REPLY)
        else:
            self._reply(LONG_REPLY if path[1] == b"long" else SHORT_REPLY)

    def _reply(self, body: bytes) -> None:
        self._seen.at_once -= 1
        self._send(body)

    def _send(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


async def serve(context: ssl.SSLContext | None) -> None:
    """Answer until the process is ended."""
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(seen), "127.0.0.1", 0, ssl=context, backlog=1000
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        name: What it is.
        root: Its URL, without a path.
        authority: The file of the certificate authority that vouches for it.
    """

    name: str
    root: str
    authority: str | None = None

    def seen(self) -> dict[str, int]:
        """What it has seen since it was asked last."""
        context = None if self.authority is None else ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(f"{self.root}/seen", context=context) as reply:
            told: dict[str, int] = json.load(reply)
        return told


@contextmanager
def own(*, tls: bool = False) -> Iterator[Server]:
    """The server of this module; over TLS it needs `trustme`."""
    with tempfile.TemporaryDirectory() as directory:
        files: list[str] = []
        authority = None
        if tls:
            import trustme

            ca, names = trustme.CA(), [f"{directory}/{name}.pem" for name in ("ca", "certificate", "key")]
            certificate = ca.issue_cert("127.0.0.1")
            ca.cert_pem.write_to_path(names[0])
            certificate.cert_chain_pems[0].write_to_path(names[1])
            certificate.private_key_pem.write_to_path(names[2])
            authority, *files = names
        with subprocess.Popen(
            [sys.executable, __file__, *files], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline())
                scheme = "https" if tls else "http"
                yield Server("a small asyncio server", f"{scheme}://127.0.0.1:{port}", authority)
            finally:
                process.terminate()


NGINX = """
worker_processes 1; daemon off; pid {directory}/pid; error_log {directory}/log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_max_body_size 10m;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen unix:{directory}/probe; listen 127.0.0.1:{port};
        location / {{ default_type application/json; return 200 '{reply}'; }}
    }}
}}
"""


@contextmanager
def fastest() -> Iterator[Server]:
    """nginx where it is installed, else the server of this module."""
    program = shutil.which(
        "nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"
    )
    if program is None:
        with own() as server:
            yield server
        return
    with tempfile.TemporaryDirectory() as directory:
        port = _free_port()
        config = Path(directory, "nginx.conf")
        config.write_text(NGINX.format(directory=directory, port=port, reply=SHORT_REPLY.decode()))
        with subprocess.Popen([program, "-c", str(config)]) as process:
            try:
                while not Path(directory, "probe").exists() and process.poll() is None:
                    time.sleep(0.01)  # nginx tells nobody when it listens
                yield Server("nginx", f"http://127.0.0.1:{port}")
            finally:
                process.terminate()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    tls_context = None
    if len(sys.argv) > 1:
        tls_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls_context.load_cert_chain(*sys.argv[1:3])
    asyncio.run(serve(tls_context))
