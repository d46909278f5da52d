"""Starting a server on a free port of 127.0.0.1, and ending it."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class StartError(Exception):
    """A server did not come up; the text has the last lines of its log."""


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
    """GET from a server on 127.0.0.1: the status, the headers by their names in lower case, the body.

    Raises:
        OSError: Nothing answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    except http.client.HTTPException as exc:
        raise OSError(f"no HTTP reply: {exc!r}") from exc
    finally:
        connection.close()


@contextmanager
def serving(
    command: Callable[[int], Sequence[str | Path]],
    *,
    log: Path,
    ready: str,
    env: Mapping[str, str] | None = None,
    within: float = 120.0,
    port: int | None = None,
    politely: bool = True,
) -> Iterator[int]:
    """Run a server as long as the block lasts.

    Args:
        command: Given a port, the command that serves on it.
        log: Where its output goes.
        ready: The path that answers 200 once it serves.
        env: Variables added to the environment.
        within: Seconds it may take to come up.
        port: The port; a free one unless it is given.
        politely: End it with SIGTERM, and with SIGKILL only if it stays; else with SIGKILL at once.

    Yields:
        The port.

    Raises:
        StartError: It ended, or did not come up in time.
    """
    number = free_port() if port is None else port
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(number),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
            cwd=log.parent,
            start_new_session=True,  # so that what it starts can be ended with it
        )
    try:
        _await(process, number, ready, log, within)
        yield number
    finally:
        end(process, (signal.SIGTERM, signal.SIGKILL) if politely else (signal.SIGKILL,))


def reach_loopback() -> None:
    """Have calls to servers of this machine go straight there, whatever proxy the environment names."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = ",".join(filter(None, (named, "127.0.0.1")))


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _await(process: "subprocess.Popen[bytes]", port: int, ready: str, log: Path, within: float) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if get(port, ready)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)  # other people's servers don't all tell when they listen
    last = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    why = f"not up after {within:g} s" if process.poll() is None else f"ended with {process.returncode}"
    raise StartError(f"{why}: {last}")


def end(process: "subprocess.Popen[bytes]", signals: Sequence[signal.Signals]) -> None:
    """End a process and all of its session: with each of the signals, as long as it stays."""
    for number in signals:
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
