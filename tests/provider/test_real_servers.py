"""What real servers were seen to do, imitated; `scripts/interop` drives the servers themselves."""

import pytest

from executionkit import Provider, RateLimitError
from executionkit.testing import Fault, LocalEndpoint

PROMPT = [{"role": "user", "content": "hello"}]


async def test_litellm_renames_the_retry_after_of_the_server_behind_it() -> None:
    headers = {"llm_provider-retry-after": "7", "x-litellm-call-id": "call-1"}
    with LocalEndpoint([Fault.status(429, headers=headers)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(RateLimitError) as failure:
                await provider.complete(PROMPT)
    assert failure.value.retry_after == 7.0
    assert failure.value.request_id == "call-1"


async def test_the_proxys_own_retry_after_comes_first() -> None:
    headers = {"llm_provider-retry-after": "7", "retry-after": "2"}
    with LocalEndpoint([Fault.status(429, headers=headers)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(RateLimitError) as failure:
                await provider.complete(PROMPT)
    assert failure.value.retry_after == 2.0
