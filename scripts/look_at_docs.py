"""Look at every page of the built site with a headless Chromium, and report what is wrong.

A page is wrong when it requests anything from outside this machine, when a diagram was not drawn, when a
script or a request fails, or when the page is wider than the screen. Each page is opened on a desk screen
with the light theme and on a phone with the dark one. `--shots DIR` takes pictures of the named pages (or
of all), on both screens and with both themes.

    make look ARGS="--shots DIR patterns/consensus/#cost"

Playwright drives the browser, which is the system's `chromium` or the one that `--chromium` names.
"""

import argparse
import functools
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from playwright import sync_api as playwright

SITE = Path(__file__).parents[1] / "site"
DRAWING_TIME = 30_000
"""Milliseconds until the diagrams of a page must be drawn."""

DRAWN = 'expected => document.querySelectorAll("div.mermaid").length >= expected'
SIZES = """() => [...document.querySelectorAll("div.mermaid")].map(host => {
    const box = host.getBoundingClientRect();
    return Math.min(box.width, box.height);
})"""
TOO_WIDE = """() => {
    const screen = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= screen + 1) return [];
    const wide = [...document.querySelectorAll(".md-content *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.width > 0 && box.right > screen + 1;
    });
    return wide.slice(0, 3).map(element => element.outerHTML.slice(0, 80)).concat("the page");
}"""


class Screen(NamedTuple):
    """A width and height in pixels, and a theme."""

    name: str
    width: int
    height: int
    theme: str


DESK, PHONE = Screen("desk", 1280, 900, "light"), Screen("phone", 390, 844, "dark")
SHOTS = tuple(screen._replace(theme=theme) for screen in (DESK, PHONE) for theme in ("light", "dark"))


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the site on a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Pass over downloads that the browser gave up when it left a page."""

    handler = functools.partial(Quiet, directory=str(site))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _outside(url: str, base: str) -> list[str]:
    return [] if url.startswith((base, "data:", "blob:", "about:")) else [f"requests {url}"]


@contextmanager
def opened(
    browser: playwright.Browser, url: str, screen: Screen
) -> Iterator[tuple[playwright.Page, list[str]]]:
    """Open a page in a fresh profile, with a list of what goes wrong on it."""
    base = "/".join(url.split("/")[:3])
    wrong: list[str] = []
    context = browser.new_context(
        viewport={"width": screen.width, "height": screen.height},
        is_mobile=screen.name == PHONE.name,
        color_scheme="dark" if screen.theme == "dark" else "light",
    )
    page = context.new_page()
    page.on("request", lambda request: wrong.extend(_outside(request.url, base)))
    page.on("pageerror", lambda error: wrong.append(f"a script failed: {error.message}"))
    page.on("console", lambda said: wrong.extend([f"an error: {said.text}"] if said.type == "error" else []))
    page.goto(url, wait_until="load")
    try:
        yield page, wrong
    finally:
        context.close()


def look(page: playwright.Page, expected: int) -> Iterator[str]:
    """Report what is wrong with the layout of an open page."""
    try:
        page.wait_for_function(DRAWN, arg=expected, timeout=DRAWING_TIME)
    except playwright.TimeoutError:
        yield f"not all of {expected} diagrams were drawn"
    yield from (f"a diagram of {size:.0f} pixels" for size in page.evaluate(SIZES) if size < 40)
    yield from (f"wider than the screen: {element}" for element in page.evaluate(TOO_WIDE))


def main() -> int:
    """Look at the pages, print what is wrong, and return the exit status."""
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
    pages = [name.replace("./", "") for name in options.pages or everything]
    failed = 0
    with served(SITE) as base, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for name in pages:
            html = (SITE / name.partition("#")[0] / "index.html").read_text(encoding="utf-8")
            for screen in SHOTS if options.shots else (DESK, PHONE):
                with opened(browser, base + name, screen) as (page, wrong):
                    wrong += look(page, html.count('<pre class="mermaid">'))
                    if options.shots:
                        stem = re.sub(r"\W+", "-", name).strip("-") or "home"
                        picture = options.shots / f"{stem}-{screen.name}-{screen.theme}.png"
                        page.screenshot(path=picture, full_page=options.whole)
                failed += bool(wrong)
                for fault in wrong:
                    print(f"{name or 'home'} ({screen.name}, {screen.theme}): {fault}")
        browser.close()
    print(f"{len(pages)} pages looked at, {failed} looks found something wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
