"""The attributes that calls of one model have in common: what is called, its provider, address and port."""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from executionkit.otel import _names as names


@lru_cache(maxsize=256)
def labels_of(model: str | None, base_url: str | None) -> Mapping[str, str | int]:
    """The attributes of all calls of a model; None for what its provider doesn't say."""
    called = {} if model is None else {names.REQUEST_MODEL: model}
    return {names.OPERATION: names.CHAT, **_endpoint_of(base_url), **called}


def _endpoint_of(base_url: str | None) -> Mapping[str, str | int]:
    found: dict[str, str | int] = {names.PROVIDER: names.OTHER_PROVIDER}
    try:
        url = urlsplit(base_url or "")
        host, port = url.hostname, url.port
    except ValueError:
        return found
    if host:
        found[names.PROVIDER] = _provider_at(host)
        found[names.SERVER_ADDRESS] = host
        found[names.SERVER_PORT] = port or (80 if url.scheme == "http" else 443)
    return found


def _provider_at(host: str) -> str:
    """The well-known name of the provider at a host."""
    for end, name in names.PROVIDERS.items():
        if host == end or host.endswith((f".{end}", f"-{end}")):  # us-east1-aiplatform.googleapis.com
            return name
    return names.OTHER_PROVIDER
