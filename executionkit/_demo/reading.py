"""What to read next: pages of the checkout, or the program's help where there are none."""

import os
from pathlib import Path

PAGES = {
    "getting-started.md": "a first answer from your own model",
    "patterns/index.md": "which pattern for what, at what cost",
    "providers.md": "services, and servers on your machine",
    "many-rows.md": "tables: limits, ceilings, resume",
    "conversations.md": "turns, tools and approval",
    "budgets.md": "ceilings on calls, tokens and dollars",
}

HELP = {
    "executionkit ask --help": "one prompt to your own model",
    "executionkit run --help": "a table, with a journal",
    "python -m pydoc executionkit.consensus": "a pattern, its parameters and errors",
    "python -m pydoc executionkit": "all public names",
}


def reading(checkout: Path = Path(__file__).parents[2]) -> dict[str, str]:
    """What to read, each with what it is about."""
    docs = checkout / "docs"
    pages = {docs / page: about for page, about in PAGES.items()}
    # Beside an installed package there may be anybody's docs.
    if not (checkout / "pyproject.toml").is_file() or not all(page.is_file() for page in pages):
        return HELP
    return {_from_here(page): about for page, about in pages.items()}


def _from_here(page: Path) -> str:
    try:
        return os.path.relpath(page)
    except (OSError, ValueError):  # the folder has gone; or, on Windows, is on another drive
        return str(page)
