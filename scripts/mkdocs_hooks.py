"""What the documentation's build does beyond MkDocs: diagrams are drawn by a script that the site holds.

The theme would fetch mermaid from a content delivery network; on a page that has loaded it, it does not.
"""

import hashlib
import re
from importlib.metadata import distribution
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

CARRIER, CARRIED = "mermaidx", "mermaidx/assets/mermaid.js"
OFFICIAL_SHA256 = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
"""Of dist/mermaid.min.js in release 11.16.0 of the npm package `mermaid`: the carrier changed nothing."""

TARGET = "assets/javascripts/mermaid.min.js"
DIAGRAM = re.compile(r'<pre class="mermaid"><code>(.*?)</code></pre>', re.DOTALL)
THEME_SCRIPT = re.compile(r'(?=<script src="[^"]*assets/javascripts/bundle\.)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add mermaid to the site."""
    script = Path(str(distribution(CARRIER).locate_file(CARRIED))).read_bytes()
    if hashlib.sha256(script).hexdigest() != OFFICIAL_SHA256:
        raise PluginError(f"{CARRIED} is not the official mermaid 11.16.0: see docs/decisions/0009")
    files.append(File.generated(config, TARGET, content=script))
    return files


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let wide diagrams be scrolled on a phone, where they would shrink until nobody can read them."""

    def framed(match: re.Match[str]) -> str:
        is_wide = match[1].startswith(("sequenceDiagram", "flowchart LR")) or "subgraph" in match[1]
        return f'<div class="diagram">{match[0]}</div>' if is_wide else match[0]

    return DIAGRAM.sub(framed, html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load mermaid on the pages that have a diagram, ahead of the theme's script, which looks for it."""
    if 'class="mermaid"' not in output:
        return output
    tag = f'<script src="{get_relative_url(TARGET, page.url)}"></script>'
    changed, count = THEME_SCRIPT.subn(tag, output, count=1)
    if count != 1:
        raise PluginError(f"{page.file.src_uri}: the theme's script was not found")
    return changed
