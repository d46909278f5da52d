"""An endpoint's attributes: its provider, its address and its port."""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from executionkit.otel import _names as names


@lru_cache(maxsize=256)
def endpoint_of(base_url: str | None) -> Mapping[str, str | int]:
    """The attributes of the endpoint behind a base URL; None for a provider that has no URL."""
    found: dict[str, str | int] = {names.PROVIDER: names.OTHER_PROVIDER}
    try:
        url = urlsplit(base_url or "")
        host, port = url.hostname, url.port
    except ValueError:
        return found
    if host:
        found[names.PROVIDER] = provider_at(host)
        found[names.SERVER_ADDRESS] = host
        found[names.SERVER_PORT] = port or (80 if url.scheme == "http" else 443)
    return found


def provider_at(host: str) -> str:
    """The well-known name of the provider at a host."""
    for end, name in names.PROVIDERS.items():
        if host == end or host.endswith((f".{end}", f"-{end}")):  # us-east1-aiplatform.googleapis.com
            return name
    return names.OTHER_PROVIDER
