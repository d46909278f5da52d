"""Look at every page of the built site with a headless Chromium, as a reader would, and tell what is wrong.

A page is wrong when it asks for anything outside of this machine, when a diagram was not drawn, when a
script or a request fails, or when it is wider than the screen. Every page is opened at the width of a desk,
light, and of a phone, dark. With `--shots DIR` pictures are taken of the pages named (or of all), in both
widths and both themes.

    make docs
    python scripts/look_at_docs.py [--shots DIR] [PAGE ...]

It needs Debian's `chromium`, or another one named by `--chromium`, and nothing but the standard library.
"""

import argparse
import base64
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

SITE = Path(__file__).parents[1] / "site"
SECONDS = 30.0
"""The most a page may take until its diagrams are drawn."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

DRAWN = """[...document.querySelectorAll("div.mermaid")].map(host => {
    const box = host.getBoundingClientRect();
    return Math.min(box.width, box.height);
})"""

TOO_WIDE = """(() => {
    const screen = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= screen + 1) return [];
    const wide = [...document.querySelectorAll(".md-content *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && box.right > screen + 1;
    });
    return wide.slice(0, 3).map(element => element.outerHTML.slice(0, 80)).concat("the page");
})()"""


class Screen(NamedTuple):
    """A width and height in pixels, and a theme."""

    name: str
    width: int
    height: int
    theme: str


DESK, PHONE = Screen("desk", 1280, 900, "light"), Screen("phone", 390, 844, "dark")
LOOKS = (DESK, PHONE)
SHOTS = tuple(screen._replace(theme=theme) for screen in LOOKS for theme in ("light", "dark"))


class Browser:
    """A Chromium that is told what to do through a pair of pipes."""

    def __init__(self, commands: BinaryIO, answers: BinaryIO) -> None:
        self._commands = commands
        self._answers = answers
        self._number = 0
        self._buffer = b""
        self.events: deque[dict[str, Any]] = deque()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.page(f"{domain}.enable")
        # The theme remembers the colours that it was first shown in.
        self.page("Page.addScriptToEvaluateOnNewDocument", source="localStorage.clear()")

    @classmethod
    @contextmanager
    def started(cls, program: str) -> Iterator[Self]:
        """Start the program, and end it on leaving."""
        to_read, to_write = os.pipe()
        from_read, from_write = os.pipe()
        with tempfile.TemporaryDirectory() as profile:
            # The browser reads from descriptor 3 and writes to 4.
            process = subprocess.Popen(
                [
                    "sh",
                    "-c",
                    f'exec "$@" 3<&{to_read} 4>&{from_write}',
                    "sh",
                    program,
                    *FLAGS,
                    f"--user-data-dir={profile}",
                ],
                pass_fds=(to_read, from_write),
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            os.close(to_read)
            os.close(from_write)
            try:
                with os.fdopen(to_write, "wb", 0) as commands, os.fdopen(from_read, "rb", 0) as answers:
                    yield cls(commands, answers)
            finally:
                process.terminate()
                process.wait()

    def page(self, method: str, **params: Any) -> dict[str, Any]:
        """Tell the page something, and wait for the answer."""
        return self.ask(method, session=self._session, **params)

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Tell the browser something, and wait for the answer; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def wait_for(self, event: str) -> None:
        """Wait until an event has come; those before it are kept."""
        while not any(each.get("method") == event for each in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self.page("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = self._answers.read(65536)
            if not part:
                raise RuntimeError("the browser has ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the site on a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def look(browser: Browser, base: str, page: str, screen: Screen) -> list[str]:
    """Open a page, and tell what is wrong with it."""
    browser.page(
        "Emulation.setDeviceMetricsOverride",
        width=screen.width,
        height=screen.height,
        deviceScaleFactor=1,
        mobile=screen.name == "phone",
    )
    browser.page(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": screen.theme}]
    )
    for url in ("about:blank", base + page):  # from one place on a page to another nothing would be loaded
        browser.events.clear()
        browser.page("Page.navigate", url=url)
        browser.wait_for("Page.loadEventFired")
    html = (SITE / page.partition("#")[0] / "index.html").read_text(encoding="utf-8")
    expected = html.count('<pre class="mermaid">')
    until = time.monotonic() + SECONDS
    while len(drawn := browser.evaluate(DRAWN)) < expected and time.monotonic() < until:
        time.sleep(0.05)  # a diagram that is drawn fires no event
    wrong = list(_from_events(browser.events, base))
    if len(drawn) < expected:
        wrong.append(f"{expected - len(drawn)} of {expected} diagrams were not drawn")
    wrong.extend(f"a diagram of {size:.0f} pixels" for size in drawn if size < 40)
    wrong.extend(f"wider than the screen: {what}" for what in browser.evaluate(TOO_WIDE))
    return wrong


def _from_events(events: deque[dict[str, Any]], base: str) -> Iterator[str]:
    for event in events:
        params = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith((base, "data:", "blob:", "about:")):
                    yield f"asks for {url}"
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                text = details.get("exception", {}).get("description", details["text"])
                yield f"a script failed: {text.partition(chr(10))[0]}"
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                yield f"an error: {params['entry']['text']} {params['entry'].get('url', '')}"


def take(browser: Browser, path: Path, *, whole: bool) -> None:
    """Save a picture of what is open, the part on the screen or the whole page."""
    picture = browser.page("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(picture["data"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="such as patterns/consensus/#cost; all by default")
    parser.add_argument("--shots", type=Path, help="a folder to take pictures into")
    parser.add_argument("--whole", action="store_true", help="pictures of whole pages, not of one screen")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    if not (SITE / "index.html").exists():
        parser.error("there is no site: run `make docs` first")
    if shutil.which(options.chromium) is None:
        parser.error("there is no chromium: apt-get install chromium, or name one with --chromium")
    everything = sorted(str(path.parent.relative_to(SITE)) + "/" for path in SITE.rglob("index.html"))
    pages = [page.replace("./", "") for page in options.pages or everything]
    failed = 0
    with served(SITE) as base, Browser.started(options.chromium) as browser:
        for page in pages:
            for screen in SHOTS if options.shots else LOOKS:
                wrong = look(browser, base, page, screen)
                failed += bool(wrong)
                for what in wrong:
                    print(f"{page or 'home'} ({screen.name}, {screen.theme}): {what}")
                if options.shots:
                    options.shots.mkdir(parents=True, exist_ok=True)
                    name = re.sub(r"\W+", "-", page).strip("-") or "home"
                    picture = options.shots / f"{name}-{screen.name}-{screen.theme}.png"
                    take(browser, picture, whole=options.whole)
    print(f"{len(pages)} pages looked at, {failed} looks found something wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
