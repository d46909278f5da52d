"""How pictures get into the docs: a page by Chromium, a screen by rich."""

import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from rich.console import Console

ASSETS = Path(__file__).parents[2] / "docs" / "assets"


def photograph(page: Path, picture: Path, width: int, height: int, theme: str = "light") -> Path:
    """Take a picture of the upper part of a page, for a reader whose system has this theme."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += [f"--blink-settings=preferredColorScheme={0 if theme == 'dark' else 1}"]
    options += [f"--window-size={width},{height}", f"--screenshot={picture}"]
    subprocess.run([chromium, *options, page.as_uri()], check=True, capture_output=True)
    return picture


def screen(width: int) -> Console:
    """A terminal of which `drawing` makes a picture."""
    return Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor"
    )


def drawing(console: Console, picture: Path, **settings: Any) -> Path:
    """Write what stands on a terminal as SVG."""
    svg = console.export_svg(**settings)
    # The site fetches nothing from elsewhere; every piece of text has its length, whatever the font.
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code, ", "")
    picture.write_text(svg, encoding="utf-8")
    return picture
