"""What the documentation's build does beyond MkDocs.

Diagrams are drawn by a script that the site holds: the theme would fetch mermaid from a content delivery
network; on a page that has loaded it, it does not. The version and the project's addresses are read where
they are kept. Tables get what turns them into lists on a phone: docs/decisions/0024. Each program in
`examples` gets a page.
"""

import hashlib
import re
import runpy
import tomllib
from html import escape
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import site_examples
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from site_addresses import links

ROOT = Path(__file__).parents[1]

CARRIER, CARRIED = "mermaidx", "mermaidx/assets/mermaid.js"
OFFICIAL_SHA256 = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
"""Of dist/mermaid.min.js in release 11.16.0 of the npm package `mermaid`: the carrier changed nothing."""

TARGET = "assets/javascripts/mermaid.min.js"
BETWEEN = "assets/diagrams.js"
EXAMPLES = site_examples.groups((ROOT / "examples" / "README.md").read_text(encoding="utf-8"))
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
DIAGRAM = re.compile(r'<pre class="mermaid"><code>(.*?)</code></pre>', re.DOTALL)
THEME_SCRIPT = re.compile(r'(?=<script src="[^"]*assets/javascripts/bundle\.)')

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
CELL = re.compile(r"<(t[hd])([^>]*)>(.*?)</\1>", re.DOTALL)
TAG = re.compile(r"<[^>]+>")
CODE = re.compile(r"<code\b.*?</code>", re.DOTALL)
SHORT_CODE = re.compile(r"<code>(?=[^<\n]{1,20}</code>)")
"""Code in a sentence that fits a phone in one piece. A browser would break `--key` after its dashes."""

PHONE_LETTERS = 34
"""How many letters of two cells stand beside each other on a phone of 390 pixels."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take the version and the project's addresses from the places where they are kept."""
    version = runpy.run_path(str(ROOT / "executionkit" / "_version.py"))["__version__"]
    config.extra["release"] = version
    config.copyright = f"{config.site_name} {version} · {config.copyright}"
    addresses = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    config.update(links(addresses))
    for section in config.nav or ():
        if "Examples" in section:
            section["Examples"] += [
                {group: [{example.title: example.page} for example in examples]}
                for group, examples in EXAMPLES.items()
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add mermaid and the pages of the examples to the site."""
    script = Path(str(distribution(CARRIER).locate_file(CARRIED))).read_bytes()
    if hashlib.sha256(script).hexdigest() != OFFICIAL_SHA256:
        raise PluginError(f"{CARRIED} is not the official mermaid 11.16.0: see docs/decisions/0009")
    files.append(File.generated(config, TARGET, content=script))
    for example in (example for examples in EXAMPLES.values() for example in examples):
        text = site_examples.text(example, Path(config.docs_dir))
        files.append(File.generated(config, example.page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Where a page shows one file of the repository, let its link for editing lead to that file."""
    included = INCLUDED.findall(markdown)
    if len(included) == 1 and config.edit_uri_template:
        page.edit_url = config.edit_uri_template.replace("docs/{path}", included[0])
    if page.file.src_uri == site_examples.INDEX:
        return site_examples.index((ROOT / included[0]).read_text(encoding="utf-8"))
    return markdown


def on_template_context(context: dict[str, Any], template_name: str, config: MkDocsConfig) -> dict[str, Any]:
    """Let the addresses on the page for missing pages be relative: docs/overrides/404.html finds to what."""
    if template_name == "404.html":
        context["base_url"] = "."
    return context


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fit diagrams, code and tables to a phone, and let a search find guides before the reference."""
    if page.file.src_uri.startswith(("api/", "decisions/", "examples/")):
        page.meta.setdefault("search", {"boost": 0.5})
    framed = DIAGRAM.sub(r'<div class="diagram">\g<0></div>', html)
    whole = SHORT_CODE.sub('<code class="whole">', framed)
    return TABLE.sub(lambda match: fitted(match[0]), whole)


def fitted(table: str) -> str:
    """Name each cell's column in the cell, and mark a table that a phone has no room for.

    The stylesheet makes a list of a marked table where the screen is narrow: one entry for each row.
    """
    # GitHub wants a bar in code escaped. Python-Markdown neither wants that nor takes the escape away.
    table = CODE.sub(lambda code: code[0].replace("\\|", "|"), table)
    rows = [[plain(cell) for _, _, cell in CELL.findall(row)] for row in ROW.findall(table)]
    heads = rows[0]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 2) <= PHONE_LETTERS:
        return table

    def named(row: re.Match[str]) -> str:
        columns = iter(heads)

        def cell(match: re.Match[str]) -> str:
            kind, attributes, inside = match.groups()
            head = next(columns)
            label = f' data-label="{escape(head)}"' if kind == "td" and head else ""
            return f"<{kind}{attributes}{label}>{inside}</{kind}>"

        return CELL.sub(cell, row[0])

    marked = ROW.sub(named, table)
    return f'<div class="list-on-phone">{marked}</div>'


def plain(html: str) -> str:
    """Return the text of a cell."""
    return TAG.sub("", html).strip()


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Load mermaid on the pages that have a diagram, ahead of the theme's script, which looks for it."""
    if 'class="mermaid"' not in output:
        return output
    paths = [get_relative_url(path, page.url) for path in (TARGET, BETWEEN)]
    tags = "".join(f'<script src="{path}"></script>' for path in paths)
    changed, count = THEME_SCRIPT.subn(tags, output, count=1)
    if count != 1:
        raise PluginError(f"{page.file.src_uri}: the theme's script was not found")
    return changed
