"""Where the demo sends its calls: the endpoint that the environment names."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from executionkit import LLMResponse, Provider, Rates
from executionkit._demo.model import NAME

VARIABLES = ("EXECUTIONKIT_BASE_URL", "EXECUTIONKIT_MODEL", "EXECUTIONKIT_API_KEY")

RATES = Rates(input="2.50", output="10.00")
"""What the tokens of the simulated model would cost; nothing is known of others."""


LONGEST = 1_000
"""The most tokens of a reply."""


class Brevity:
    """A provider around a provider: it keeps replies short, because a small model may ramble on for minutes.

    Whatever has this shape can be given to a pattern.
    """

    supports_tools: Literal[True] = True

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def complete(
        self, messages: list[dict[str, Any]], *, max_tokens: int | None = None, **kwargs: Any
    ) -> LLMResponse:
        """Ask the provider."""
        room = LONGEST if max_tokens is None else min(max_tokens, LONGEST)
        return await self._provider.complete(messages, max_tokens=room, **kwargs)


@contextmanager
def no_proxy() -> Generator[None, None, None]:
    """Have calls to this machine go straight there for as long as the block lasts.

    A proxy in the environment is for the network; it would look for 127.0.0.1 on its own machine.
    """
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        del os.environ["no_proxy"]
        if before is not None:
            os.environ["no_proxy"] = before


class UsageError(Exception):
    """The environment doesn't say what to run against."""


def provider_from(environ: Mapping[str, str] | None) -> Provider | None:
    """The provider that the environment describes; None without an environment.

    Raises:
        UsageError: One of `VARIABLES` is missing, or their values can't be used. The key may be missing.
    """
    return None if environ is None else provider_of(environ)


def provider_of(environ: Mapping[str, str]) -> Provider:
    """The provider that `VARIABLES` describe.

    Raises:
        UsageError: As above.
    """
    base_url, model, api_key = (environ.get(name, "") for name in VARIABLES)
    if not base_url or not model:
        raise UsageError(f"--real needs {' and '.join(VARIABLES[:2])}, and {VARIABLES[2]} for a service")
    try:
        return Provider(base_url, model, api_key, prices=RATES if model == NAME else None)
    except ValueError as error:
        raise UsageError(str(error)) from error
