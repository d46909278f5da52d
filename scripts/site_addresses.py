"""The links that lead out of the documentation site, from the addresses in pyproject.toml."""

from urllib.parse import urlsplit

PLACEHOLDER = "example.org"
"""The host of addresses that no maintainer has filled in yet. RFC 2606 keeps it from becoming anybody's."""


def links(addresses: dict[str, str]) -> dict[str, str]:
    """Return the settings of MkDocs for these addresses. A placeholder gives no setting, so no link."""
    known = {
        name: url.rstrip("/") for name, url in addresses.items() if urlsplit(url).hostname != PLACEHOLDER
    }
    settings: dict[str, str] = {}
    if repository := known.get("Repository"):
        settings["repo_url"] = repository
        settings["repo_name"] = urlsplit(repository).path.strip("/")
        settings["edit_uri_template"] = f"{repository}/edit/main/docs/{{path}}"
    if site := known.get("Documentation"):
        settings["site_url"] = f"{site}/"
    return settings
