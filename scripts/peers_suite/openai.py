"""OpenAI's SDK."""

import httpx2
from openai import AsyncOpenAI
from openai._constants import DEFAULT_TIMEOUT

from peers_suite.checking import CUT_FILM, DOWN, QUESTION, WRONG_FILM, Film, Outcome, expect, theirs

MESSAGES = [{"role": "user", "content": QUESTION}]


def _client(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=url, api_key="-")


async def _parsed(reply: object) -> Outcome:
    return await theirs(
        [reply],
        lambda url: _client(url).chat.completions.parse(model="m", messages=MESSAGES, response_format=Film),
    )


async def check_retries() -> None:
    """The server answers 503: three requests, and an error without their number."""
    found = await theirs(DOWN, lambda url: _client(url).chat.completions.create(model="m", messages=MESSAGES))
    expect((found.requests, found.raised), (3, "InternalServerError"))
    assert not [name for name in dir(found.value) if "attempt" in name or "retr" in name or "usage" in name]


async def check_replies() -> None:
    """Wrong and cut replies raise after one request; max_tokens is not sent."""
    found = await _parsed(WRONG_FILM)
    expect((found.requests, found.raised, found.last.max_tokens), (1, "ValidationError", None))
    found = await _parsed(CUT_FILM)
    expect((found.requests, found.raised), (1, "LengthFinishReasonError"))


async def check_timeout() -> None:
    """It gives up after 600 seconds, and connecting after five."""
    expect(DEFAULT_TIMEOUT, httpx2.Timeout(600, connect=5.0))
