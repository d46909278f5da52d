"""Look at every page of the built site with a headless Chromium, and report what is wrong.

Each page is opened on a desk screen and on a phone, and looked at with the light theme and the dark one.
It is wrong when

- it requests anything from outside this machine, or a script, a request or a picture fails,
- it is wider than the screen, or a table on it is, or code on a desk is wider than its box,
- a diagram was not drawn, has letters too small to read, or letters too much like what is behind them,
- a link leads to a page or an anchor that is not there,
- it is a page of the reference, and longer than anybody scrolls.

The page for missing pages has to find the site at whatever address the site is served, and to search it.
`--shots DIR` takes pictures of the named pages (or of all), on both screens and with both themes;
with `--whole`, of their full length, cut into columns that stand beside each other.

    make look ARGS="--shots DIR patterns/consensus/#cost"

Playwright drives the browser, which is the system's `chromium` or the one that `--chromium` names.
"""

import argparse
import functools
import http.server
import re
import shutil
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from playwright import sync_api as playwright

SITE = Path(__file__).parents[1] / "site"
BELOW = "/an/other/place/"
"""Where the site is served a second time, as on a host that has it in a folder."""

DRAWING_TIME = 30_000
"""Milliseconds until the diagrams of a page must be drawn."""
SETTLING_TIME = 400
"""Milliseconds until the header, which moves when a page is scrolled, stands still for a picture."""
LONGEST = 12_000
"""Pixels of a page of the reference on a desk."""
LETTERS = 12
"""Pixels of the smallest letters in a diagram."""
CONTRAST = 4.5
"""The contrast that letters need, by WCAG 2.1 AA."""

EYES = Path(__file__).with_suffix(".js")
DRAWN = 'expected => document.querySelectorAll("div.mermaid").length >= expected'


class Screen(NamedTuple):
    """A width and height in pixels."""

    name: str
    width: int
    height: int


DESK, PHONE = Screen("desk", 1440, 900), Screen("phone", 390, 844)
THEMES = ("light", "dark")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a site at the root and at BELOW, with the site's own page for what is missing."""

    def translate_path(self, path: str) -> str:
        return super().translate_path("/" + path.removeprefix(BELOW) if path.startswith(BELOW) else path)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        body = (SITE / "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Passes over downloads that the browser gave up when it left a page."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the site on a free port of this machine."""
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def opened(context: playwright.BrowserContext, url: str) -> Iterator[tuple[playwright.Page, list[str]]]:
    """Open a page, with a list of what goes wrong on it."""
    parts = urlsplit(url)
    own = (f"{parts.scheme}://{parts.netloc}/", "data:", "blob:", "about:")
    wrong: list[str] = []

    def requested(request: playwright.Request) -> None:
        if not request.url.startswith(own):
            wrong.append(f"requests {request.url}")

    def answered(response: playwright.Response) -> None:
        if response.status >= 400:
            wrong.append(f"{response.url} is not there")

    page = context.new_page()
    page.on("request", requested)
    page.on("response", answered)
    page.on("pageerror", lambda error: wrong.append(f"a script failed: {error.message}"))
    page.on(
        "console",
        lambda said: (
            wrong.append(f"an error: {said.text}")
            if said.type == "error" and "Failed to load resource" not in said.text
            else None
        ),
    )
    page.goto(url, wait_until="load")
    try:
        yield page, wrong
    finally:
        page.close()


def layout_faults(page: playwright.Page, name: str, screen: Screen) -> Iterator[str]:
    """Report what is wrong with the measures of an open page."""
    found = page.evaluate("look.layout()")
    yield from (f"wider than the screen: {element}" for element in found["beyond"])
    yield from (f"a table is wider than the screen: {text!r}" for text in found["tables"])
    yield from (f"a picture is broken: {source}" for source in found["broken"])
    if screen is DESK:
        yield from (f"code is wider than its box: {line!r}" for line in found["code"])
        if name.startswith("api/") and found["height"] > LONGEST:
            yield f"{found['height']} pixels long"


def diagram_faults(page: playwright.Page, expected: int) -> Iterator[str]:
    """Report what is wrong with the diagrams of an open page."""
    try:
        page.wait_for_function(DRAWN, arg=expected, timeout=DRAWING_TIME)
    except playwright.TimeoutError:
        yield f"not all of {expected} diagrams were drawn"
        return
    for diagram in page.evaluate("look.diagrams()"):
        if diagram["side"] < 40:
            yield f"a diagram of {diagram['side']:.0f} pixels"
        for part in diagram["texts"]:
            if part["size"] < LETTERS - 0.05:
                yield f"letters of {part['size']:.1f} pixels in a diagram: {part['text']!r}"
            if part["contrast"] < CONTRAST:
                yield f"a contrast of {part['contrast']:.1f} in a diagram: {part['text']!r}"


def missing_page_faults(context: playwright.BrowserContext, url: str, root: str) -> Iterator[str]:
    """Report what is wrong with the page for missing pages, at a URL of a site with this root."""
    with opened(context, url) as (page, wrong):
        # The browser asks ahead, before the script has found the root: what the page has at last counts.
        wrong[:] = [fault for fault in wrong if not fault.endswith("is not there")]
        if unstyled := page.evaluate("look.layout().unstyled"):
            yield f"{unstyled} stylesheets did not come"
        if page.evaluate("document.baseURI") != root:
            yield f"takes {page.evaluate('document.baseURI')} for the root"
        yield from layout_faults(page, "404", DESK)
        for link in page.eval_on_selector_all(
            "a[href]", "links => links.map(link => link.href.split('#')[0])"
        ):
            if link.startswith(root) and page.request.head(link).status != 200 and link != url:
                yield f"leads to {link}"
        page.fill(".missing-search input", "budget")
        page.press(".missing-search input", "Enter")
        try:
            page.wait_for_selector(".md-search-result__link", timeout=DRAWING_TIME)
        except playwright.TimeoutError:
            yield "its search finds nothing"
        yield from (fault for fault in wrong if not fault.endswith("is not there"))


def in_columns(context: playwright.BrowserContext, picture: Path, screen: Screen) -> None:
    """Cut a picture of a whole page into columns, which are easier to look at than a ribbon."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    tall = 2 * screen.height
    size = f"width:{width}px;height:{tall}px"
    columns = "".join(
        f'<div style="{size};background:url({picture.name}) 0 -{top}px no-repeat"></div>'
        for top in range(0, height, tall)
    )
    sheet = picture.with_suffix(".html")
    sheet.write_text(
        f'<body style="margin:0;display:flex;gap:20px;background:#888">{columns}', encoding="utf-8"
    )
    page = context.browser.new_page(viewport={"width": (width + 20) * -(-height // tall), "height": tall})
    page.goto(sheet.absolute().as_uri())
    page.screenshot(path=picture)
    page.close()
    sheet.unlink()


def link_faults(site: Path) -> Iterator[str]:
    """Report links to pages and anchors that the site does not have."""
    texts = {
        path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if path.name != "404.html"
    }
    anchors = {
        path: set(map(unescape, re.findall(r'\bid="?([^"\s>]+)', text))) for path, text in texts.items()
    }
    for path, text in sorted(texts.items()):
        place = "/" + path.relative_to(site).as_posix().removesuffix("index.html")
        for link in sorted(set(re.findall(r'<a\b[^>]*?\bhref="?([^"\s>]+)', text))):
            url = urlsplit(urljoin(place, unescape(link)))
            if url.scheme or url.netloc:
                continue
            target = site / unquote(url.path).lstrip("/")
            target = target / "index.html" if url.path.endswith("/") else target
            known = anchors.get(target)
            if known is None and not target.is_file():
                yield f"{place[1:] or 'home'}: a link leads nowhere: {link}"
            elif known is not None and url.fragment and unquote(url.fragment) not in known | {"__skip"}:
                yield f"{place[1:] or 'home'}: no such anchor: {link}"


def main() -> int:
    """Look at the pages, print what is wrong, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", help="such as patterns/consensus/#cost; all by default")
    parser.add_argument("--shots", type=Path, help="a folder to take pictures into")
    parser.add_argument("--whole", action="store_true", help="pictures of whole pages, not of one screen")
    parser.add_argument("--heights", action="store_true", help="print how long each page is")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "chromium")
    options = parser.parse_args()
    if not (SITE / "index.html").exists():
        parser.error("there is no site: run `make docs` first")
    if shutil.which(options.chromium) is None:
        parser.error("there is no chromium: apt-get install chromium, or name one with --chromium")
    everything = sorted(str(path.parent.relative_to(SITE)) + "/" for path in SITE.rglob("index.html"))
    pages = [name.replace("./", "") for name in options.pages or everything]
    faults = [] if options.pages else list(link_faults(SITE))
    with served(SITE) as host, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        for screen in (DESK, PHONE):
            context = browser.new_context(
                viewport={"width": screen.width, "height": screen.height}, is_mobile=screen is PHONE
            )
            context.add_init_script(path=EYES)
            for name in pages:
                html = (SITE / name.partition("#")[0] / "index.html").read_text(encoding="utf-8")
                with opened(context, f"{host}/{name}") as (page, wrong):
                    wrong += layout_faults(page, name, screen)
                    for theme in THEMES:
                        page.evaluate("theme => look.choose(theme)", theme)
                        of_theme = diagram_faults(page, html.count('<pre class="mermaid">'))
                        wrong += [f"{theme}: {fault}" for fault in of_theme]
                        if options.shots:
                            stem = re.sub(r"\W+", "-", name).strip("-") or "home"
                            picture = options.shots / f"{stem}-{screen.name}-{theme}.png"
                            page.wait_for_timeout(SETTLING_TIME)
                            page.screenshot(path=picture, full_page=options.whole)
                            if options.whole:
                                in_columns(context, picture, screen)
                    if options.heights:
                        print(f"{page.evaluate('look.layout().height'):6} {name or 'home'} ({screen.name})")
                faults += [f"{name or 'home'} ({screen.name}): {fault}" for fault in wrong]
            if not options.pages:
                for root in (f"{host}/", f"{host}{BELOW}"):
                    for missing in ("nowhere", "patterns/no/such.html"):
                        wrong = list(missing_page_faults(context, root + missing, root))
                        faults += [
                            f"the missing page {root}{missing} ({screen.name}): {fault}" for fault in wrong
                        ]
            context.close()
        browser.close()
    for fault in faults:
        print(fault)
    print(f"{len(pages)} pages looked at on two screens, in two themes: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
