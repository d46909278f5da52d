"""LiteLLM."""

from typing import Any

from litellm import Router, acompletion

from executionkit.testing import LocalEndpoint
from peers_suite.checking import DOWN, QUESTION, Outcome, expect, theirs

MESSAGES = [{"role": "user", "content": QUESTION}]


async def _completed(**options: Any) -> Outcome:
    return await theirs(
        DOWN,
        lambda url: acompletion(model="openai/m", api_base=url, api_key="-", messages=MESSAGES, **options),
    )


async def check_retries() -> None:
    """The server answers 503: three requests, four with num_retries=3; max_tokens is not sent."""
    found = await _completed()
    expect((found.requests, found.raised, found.last.max_tokens), (3, "ServiceUnavailableError", None))
    expect((await _completed(num_retries=3)).requests, 4)


async def check_fallbacks() -> None:
    """A router falls back to another model."""

    def deployment(name: str, url: str) -> dict[str, Any]:
        return {"model_name": name, "litellm_params": {"model": "openai/m", "api_base": url, "api_key": "-"}}

    with LocalEndpoint(["Paris"]) as other:
        found = await theirs(
            DOWN,
            lambda url: Router(
                model_list=[deployment("one", url), deployment("two", other.base_url)],
                fallbacks=[{"one": ["two"]}],
                num_retries=0,
            ).acompletion(model="one", messages=MESSAGES),
        )
        expect(other.ledger.calls, 1)
    expect(found.value.choices[0].message.content, "Paris")
