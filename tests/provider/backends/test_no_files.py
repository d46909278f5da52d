"""The paths of errors open no file and import nothing: there may be no file descriptor left."""

import subprocess
import sys

import pytest
from loopback import BACKENDS

SCRIPT = """
import asyncio, sys, json
from executionkit import LLMError, Provider, RetryConfig
from executionkit.engine.retry import with_retry

USER = [{"role": "user", "content": "q"}]
opened = []
watching = False

def audit(event, args):
    # httpcore looks for sniffio with every request; that it is missing is seen without a file.
    if watching and event in ("import", "open") and args[0] != "sniffio":
        opened.append((event, args[0]))

sys.addaudithook(audit)

def http(status, body, *headers):
    body = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\\r\\n".join(lines).encode() + b"\\r\\n\\r\\n" + body

OK = http("200 OK", json.dumps({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}))
EVENTS = "Content-Type: text/event-stream"
REPLIES = [
    http("500 No", "<html><title>caf&eacute; &amp; out</title>"),
    http("429 No", '{"error": {"message": "try again in 3s"}}', "X-RateLimit-Reset: 1900000000"),
    http("429 No", "", "Retry-After: Sun, 01 Mar 2026 12:00:00 GMT", "Date: Sun, 01 Mar 2026 12:00:00 GMT"),
    http("302 No", "", "Location: https://other.example/"),
    http("200 OK", "nonsense"),
    http("200 OK", 'data: {"error": "no"}\\n\\n', EVENTS),
    b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nabc",
    b"nonsense\\r\\n\\r\\n",
]

async def main():
    global watching
    sent = [OK]

    async def serve(reader, writer):
        head = await reader.readuntil(b"\\r\\n\\r\\n")
        length = next(line for line in head.lower().split(b"\\r\\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        writer.write(sent[0])
        await writer.drain()
        writer.close()

    async def streamed(provider):
        async with provider.stream(USER) as events:
            async for _ in events:
                pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with Provider(url, "m", "sk-any-key-123456", backend=sys.argv[1], timeout=5.0) as provider:
        await provider.complete(USER)
        await streamed(provider)
        watching = True
        for reply in REPLIES:
            sent[0] = reply
            for ask in (lambda: provider.complete(USER), lambda: streamed(provider)):
                try:
                    await with_retry(ask, RetryConfig(max_retries=1, base_delay=0.001, max_retry_after=0.0))
                except LLMError:
                    pass
                else:
                    raise AssertionError(reply)
        server.close()
        try:
            await provider.complete(USER)
        except LLMError:
            pass
        watching = False

asyncio.run(main())
print(opened)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_path_of_an_error_opens_a_file(backend: str) -> None:
    command = [sys.executable, "-c", SCRIPT, backend]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_no_descriptor_left_for_the_first_connection() -> None:
    pytest.importorskip("resource")
    script = """
import asyncio, os, resource, sys
from executionkit import Provider, ProviderError, structured
async def main():
    provider = Provider("https://127.0.0.1:9/v1", "m", "sk-any-key-123456", backend="stdlib", timeout=5.0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    found = []
    for asking in (provider.complete([{"role": "user", "content": "q"}]), structured(provider, "q")):
        try:
            await asking
        except ProviderError as error:
            found.append((str(error), error.dispatched))
    for each in taken:
        os.close(each)
    print(found)
asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.stdout.count("Too many open files") == 2, done.stderr
    assert "True" not in done.stdout
