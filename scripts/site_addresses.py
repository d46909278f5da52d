"""The links that lead out of the documentation site, from the addresses in pyproject.toml."""

from urllib.parse import urlsplit

PLACEHOLDER = "example.org"
"""The host of addresses that no maintainer has filled in yet. RFC 2606 keeps it from becoming anybody's."""


def links(addresses: dict[str, str]) -> dict[str, str]:
    """Return the settings of MkDocs for these addresses.

    A placeholder is shown, and named so. It is never the canonical address of the pages.
    """
    settings: dict[str, str] = {}
    if repository := addresses.get("Repository", "").rstrip("/"):
        path = urlsplit(repository).path.strip("/")
        settings["repo_url"] = repository
        settings["repo_name"] = f"{PLACEHOLDER} (placeholder)" if is_placeholder(repository) else path
        settings["edit_uri_template"] = f"{repository}/edit/main/docs/{{path}}"
    site = addresses.get("Documentation", "").rstrip("/")
    if site and not is_placeholder(site):
        settings["site_url"] = f"{site}/"
    return settings


def is_placeholder(url: str) -> bool:
    """Whether an address is one that a maintainer has yet to fill in."""
    return urlsplit(url).hostname == PLACEHOLDER
