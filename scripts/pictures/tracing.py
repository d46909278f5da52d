"""The pictures of docs/tracing.md: the trace of examples/tracing.py in Phoenix, on both themes.

Phoenix has to run, and the exporter has to be installed: docs/tracing.md says how. So these pictures are made
only if they are asked for by name.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pictures.paper import ASSETS

PHOENIX = "http://127.0.0.1:6006"
EXAMPLE = Path(__file__).parents[2] / "examples" / "tracing.py"
SECONDS = 30
"""Until the spans must have come."""


def retried() -> dict[str, Any] | None:
    """The newest span of a call that was retried, if there is one."""
    with urlopen(f"{PHOENIX}/v1/projects/default/spans?limit=100") as response:
        spans = json.load(response)["data"]
    found = [span for span in spans if any(event["name"] == "executionkit.retry" for event in span["events"])]
    return max(found, key=lambda span: span["start_time"], default=None)


def make() -> list[Path]:
    """Make the pictures."""
    from playwright.sync_api import sync_playwright

    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": PHOENIX}
    began = time.time()
    subprocess.run([sys.executable, EXAMPLE], check=True, env=environment, stdout=subprocess.DEVNULL)
    while (span := retried()) is None:
        if time.time() > began + SECONDS:
            raise SystemExit(f"{PHOENIX} has got no spans")
        time.sleep(0.5)
    made: list[Path] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome")
        )
        for theme in ("light", "dark"):
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.add_init_script(f"localStorage.setItem('arize-phoenix-theme', '{theme}')")
            page.goto(f"{PHOENIX}/redirects/spans/{span['context']['span_id']}")
            page.get_by_role("tab", name="Events").click()
            page.get_by_role("button", name="executionkit.retry").click()
            page.get_by_text("executionkit.retry.wait").wait_for()
            page.wait_for_timeout(1_000)  # the drawer slides in
            picture = ASSETS / f"tracing-phoenix-{theme}.png"
            page.screenshot(path=picture, clip={"x": 351, "y": 96, "width": 1049, "height": 720})
            made.append(picture)
        browser.close()
    return made
