"""All failures, on every back end, whole and streamed: the right error, and the key in none of it."""

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from loopback import USER, Connection, MakeProvider, Request, Server, http
from ugly import CUT, NOT_A_REPLY

from executionkit.provider import LLMError, PermanentError, Provider, ProviderError, RateLimitError

KEY = "sk-very-secret-key-0123456789"

SENT = [
    *(300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 415),
    *(418, 421, 422, 424, 425, 426, 428, 429, 431, 451, 498, 499, 500, 501, 502, 503, 504, 505, 507, 520),
    *(524, 529, 599),
]


async def fail(provider: Provider, *, streamed: bool) -> LLMError:
    async def read() -> None:
        async with provider.stream(USER) as events:
            async for _ in events:
                pass

    with pytest.raises(LLMError) as caught:
        await (read() if streamed else provider.complete(USER))
    return caught.value


def shown(error: LLMError) -> str:
    """All that a log, a debugger or a colleague may get to see of an error."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    parts = [str(error), repr(error), repr(vars(error)), "".join(_of_the_library(told))]
    parts += [pickle.dumps(error).decode("latin-1"), repr(copy.deepcopy(error).__dict__)]
    chain: list[BaseException | None] = [error.__cause__, error.__context__]
    return "\n".join([*parts, *map(repr, chain)])


def _of_the_library(told: traceback.TracebackException) -> Iterator[str]:
    for frame in told.stack:
        if "executionkit" in frame.filename.replace("\\", "/").split("/"):
            yield f"{frame.name}: {frame.locals}\n"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def expected(status: int) -> type[LLMError]:
    if status == 429:
        return RateLimitError
    if (status < 500 and status not in (408, 409, 425)) or status in (501, 505):
        return PermanentError
    return ProviderError


async def check_statuses(
    server: Server, provider: Provider, statuses: Sequence[int], *, streamed: bool
) -> None:
    status = 0

    async def echo(request: Request, connection: Connection) -> None:
        # Servers do quote the key they refuse, and all that they were sent.
        quoted = json.dumps({"error": {"message": f"{request.headers['authorization']} is no good"}})
        body = "" if status == 304 else quoted  # by its definition that one has none
        await connection.send(http(body, f"{status} No"))

    server.script = echo
    async with provider:
        for status in statuses:
            error = await fail(provider, streamed=streamed)
            assert (type(error), error.status_code, error.dispatched) == (expected(status), status, True)
            assert KEY not in shown(error)
    assert len(server.requests) == len(statuses)


async def test_every_status(server: Server, make_one: MakeProvider, logged: pytest.LogCaptureFixture) -> None:
    await check_statuses(server, make_one(api_key=KEY), range(300, 600), streamed=False)
    assert KEY not in logged.text


async def test_the_statuses_that_servers_send(
    server: Server, make: MakeProvider, logged: pytest.LogCaptureFixture, *, streamed: bool
) -> None:
    await check_statuses(server, make(api_key=KEY), SENT, streamed=streamed)
    assert KEY not in logged.text


async def test_a_head_that_quotes_the_key(server: Server, make: MakeProvider, *, streamed: bool) -> None:
    # That httpcore's own DEBUG log shows the heads of replies is not ours to change.
    server.script = http("no", f"400 {KEY}", f"X-Request-Id: {KEY}", f"Location: http://{KEY}.example/{KEY}")
    async with make(api_key=KEY) as provider:
        assert KEY not in shown(await fail(provider, streamed=streamed))


async def test_what_is_no_reply(
    server: Server, make: MakeProvider, logged: pytest.LogCaptureFixture, *, streamed: bool
) -> None:
    async with make(api_key=KEY) as provider:
        for case, server.script in NOT_A_REPLY.items():
            error = await fail(provider, streamed=streamed)
            assert type(error) in (ProviderError, PermanentError), case
            assert streamed or error.status_code in (200, 204), case
            assert error.dispatched
            assert len(str(error)) < 1000, case
            assert KEY not in shown(error), case
            if case == "html":
                assert "Sign in & pay" in str(error)
                assert "<" not in str(error)
    assert KEY not in logged.text


async def test_what_breaks_off(
    server: Server, make: MakeProvider, logged: pytest.LogCaptureFixture, *, streamed: bool
) -> None:
    async def script(request: Request, connection: Connection) -> None:
        await connection.send(CUT[where].replace(b"SSH", request.headers["authorization"].encode()))
        getattr(connection, how)()

    server.script = script
    async with make(api_key=KEY) as provider:
        for where, how in product(CUT, ("close", "reset")):
            server.requests.clear()
            error = await fail(provider, streamed=streamed)
            assert (type(error), error.status_code) == (ProviderError, None), (where, how)
            assert error.dispatched
            assert "the connection broke" in str(error), (where, how)
            assert KEY not in shown(error), (where, how)
            # Nothing is sent a second time behind the caller's back.
            assert len(server.requests) == 1, (where, how)
    assert KEY not in logged.text


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://127.0.0.1:1/v1"},
        {"base_url": "http://nowhere.invalid/v1"},
        {"base_url": "https://nowhere.invalid/v1"},
    ],
    ids=lambda settings: str(settings["base_url"]),
)
async def test_what_never_connects(
    make: MakeProvider, logged: pytest.LogCaptureFixture, settings: dict[str, str], *, streamed: bool
) -> None:
    async with make(api_key=KEY, **settings) as provider:
        error = await fail(provider, streamed=streamed)
    assert type(error) is ProviderError
    assert not error.dispatched
    assert KEY not in shown(error) + logged.text


@pytest.mark.parametrize("limits", [{"timeout": 0.2}, {"deadline": 0.2}, {"max_response_bytes": 9}], ids=repr)
async def test_what_passes_a_limit(
    server: Server,
    make: MakeProvider,
    logged: pytest.LogCaptureFixture,
    limits: dict[str, float],
    *,
    streamed: bool,
) -> None:
    if "max_response_bytes" not in limits:
        server.hold()
    async with make(api_key=KEY, **limits) as provider:
        error = await fail(provider, streamed=streamed)
    assert type(error) is ProviderError
    assert next(iter(limits)) in str(error)
    assert error.dispatched
    assert KEY not in shown(error) + logged.text
