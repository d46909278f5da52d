"""Provider as a value and as a door: settings, secrets, copies, pickles, and what a call may ask for."""

import asyncio
import copy
import dataclasses
import json
import math
import pickle
import sys
from collections import UserList
from types import MappingProxyType
from typing import Any

import pytest
from loopback import USER, Server, completion, http

from executionkit.protocols import LLMProvider, ToolCallingProvider
from executionkit.provider import PermanentError, Provider

URL = "https://llm.example/v1"
KEY = "sk-very-secret-key-0123456789"


def stdlib(server: Server, **settings: Any) -> Provider:
    return Provider(server.url, "m", backend="stdlib", **settings)


async def body_of(server: Server, provider: Provider, *args: Any, **kwargs: Any) -> Any:
    async with provider:
        await provider.complete(*args, **kwargs)
    return server.requests[-1].json


# Settings


def test_the_listed_parameters_in_order_with_their_defaults() -> None:
    provider = Provider(URL, "m", "k", 0.5, 10, 3.0)
    assert (provider.default_temperature, provider.default_max_tokens, provider.timeout) == (0.5, 10, 3.0)
    plain = Provider(URL, "m")
    assert (plain.default_temperature, plain.default_max_tokens, plain.timeout) == (0.7, 4096, 120.0)


def test_it_satisfies_both_protocols() -> None:
    provider: ToolCallingProvider = Provider(URL, "m")
    assert isinstance(provider, LLMProvider)
    assert isinstance(provider, ToolCallingProvider)
    assert provider.supports_tools is True


@pytest.mark.parametrize("name", ["model", "timeout", "api_key", "supports_tools", "other"])
def test_it_is_frozen(name: str) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        setattr(Provider(URL, "m"), name, 1)


BAD_URLS = {
    "ftp://host/v1": "scheme 'ftp'",
    "file:///etc/passwd": "scheme 'file'",
    "data:text/plain,x": "scheme 'data'",
    "llm.example/v1": "scheme ''",
    "": "scheme ''",
    "https://": "a host",
    "https:///v1": "a host",
    "https://user:hunter2@host/v1": "user name or password",
    "https://hunter2@host/v1": "user name or password",
    "https://host/v1#hunter2": "fragment",
    "https://host/v1#": "fragment",
    "https://host:99999/v1": "not a valid URL",
    "https://host:hunter2/v1": "not a valid URL",
    "https://host:0/v1": "a host",
    "https://[::1/v1": "not a valid URL",
    "https://ho st/v1": "whitespace",
    "https://host/v1\r\nX: y": "whitespace",
    "https://host\\@other/v1": "backslashes",
    "https://a..b/v1": "a host",
    "https://" + "a" * 70 + ".example/v1": "a host",
    "https://host/v1/chat/completions": "the client adds that",
    "https://host/v1/chat/completions/": "the client adds that",
}


@pytest.mark.parametrize("base_url", BAD_URLS)
def test_a_base_url_that_will_not_do(base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        Provider(base_url, "m")
    assert BAD_URLS[base_url] in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "base_url",
    ["http://h", "https://h/", "HTTP://Host:8080/v1/", "http://[::1]:1/v1", "http://bücher.example/v1?x=%20"],
)
def test_a_base_url_that_will_do(base_url: str) -> None:
    assert Provider(base_url, "m").base_url == base_url


BAD_SETTINGS: list[tuple[str, Any]] = [
    ("base_url", None),
    ("model", ""),
    ("model", None),
    ("api_key", None),
    ("api_key", b"k"),
    ("api_key", "k\ney"),
    ("api_key", "k\x00"),
    ("api_key", "schlüssel ☃"),
    ("default_temperature", -0.1),
    ("default_temperature", 2.1),
    ("default_temperature", math.nan),
    ("default_temperature", "1"),
    ("default_max_tokens", 0),
    ("default_max_tokens", 1.5),
    ("default_max_tokens", True),
    ("timeout", 0),
    ("timeout", -1),
    ("timeout", math.inf),
    ("timeout", None),
    ("connect_timeout", 0),
    ("deadline", 0),
    ("deadline", math.nan),
    ("max_response_bytes", 0),
    ("max_tokens_field", ""),
    ("max_tokens_field", None),
    ("backend", "urllib"),
    ("headers", [("a", "b")]),
    ("headers", {"": "x"}),
    ("headers", {"a b": "x"}),
    ("headers", {"a": "x\r\ny"}),
    ("headers", {"a": 1}),
    ("headers", {1: "x"}),
    ("headers", {"Content-Length": "1"}),
    ("headers", {"transfer-encoding": "chunked"}),
    ("headers", {"A": "x", "a": "y"}),
    ("omit", "temperature"),
    ("omit", [1]),
    ("omit", 3),
    ("omit", {"model"}),
    ("omit", {"messages"}),
    ("extra_body", [1]),
    ("extra_body", {"stream": True}),
    ("extra_body", {"model": "other"}),
    ("extra_body", {"max_completion_tokens": 1}),
    ("extra_body", {"x": math.nan}),
    ("extra_body", {"x": object()}),
    ("http_client", object()),
]


@pytest.mark.parametrize(("name", "value"), BAD_SETTINGS)
def test_a_setting_out_of_range(name: str, value: Any) -> None:
    settings = {"base_url": URL, "model": "m", name: value}
    with pytest.raises(ValueError, match=name):
        Provider(**settings)


@pytest.mark.parametrize("setting", ["base_url", "model", "api_key", "max_tokens_field", "headers"])
def test_an_unset_environment_variable_is_hinted_at(setting: str) -> None:
    value = {"X-A": None} if setting == "headers" else None
    with pytest.raises(ValueError, match=rf"^{setting}.* got None;.*variable is not set") as caught:
        Provider(**{"base_url": URL, "model": "m", setting: value})  # type: ignore[arg-type]  # the mistake
    assert ('api_key=""' in str(caught.value)) == (setting == "api_key")


def test_a_header_that_would_compete_with_the_key() -> None:
    Provider(URL, "m", headers={"Authorization": "Basic abc"})
    with pytest.raises(ValueError, match="Authorization beside api_key"):
        Provider(URL, "m", "k", headers={"authorization": "Basic abc"})


def test_no_message_shows_a_malformed_key() -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        Provider(URL, "m", KEY + "\n" + KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(ValueError, match="headers") as caught:
        Provider(URL, "m", headers={"api-key": KEY + "☃"})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("backend", ["httpx", "httpx2", "aiohttp"])
def test_a_back_end_that_is_not_installed(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, backend, None)  # how to say "not there"
    with pytest.raises(ImportError, match=f"pip install {backend}"):
        Provider(URL, "m", backend=backend)


class Outdated(TypeError):
    """As of a library that lacks a parameter."""


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_set_up_names_its_cause_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    def explode() -> None:
        raise Outdated("got an unexpected keyword 'proxy'") from ValueError(said)

    monkeypatch.setattr("urllib.request.getproxies", explode)

    async def failure() -> BaseException:
        # A library that is first imported here would keep what is patched.
        provider = Provider(URL, "m", KEY, backend="stdlib")
        with pytest.raises(PermanentError, match="Outdated: got an unexpected keyword 'proxy'") as caught:
            await (provider.stream(USER).__aenter__() if stream else provider.complete(USER))
        assert "too old" in str(caught.value)
        assert not caught.value.dispatched
        return caught.value

    said = "no"
    assert isinstance((await failure()).__cause__, Outdated)
    said = f"the header was {KEY}"
    error = await failure()
    assert (error.__cause__, error.__context__) == (None, None)


# Secrets


@pytest.mark.parametrize(
    "provider",
    [Provider(URL, "m", KEY), Provider(URL, "m", headers={"api-key": KEY}), Provider(URL, "m", KEY[:3])],
)
def test_a_secret_shows_nowhere(provider: Provider) -> None:
    shown = [
        repr(provider),
        str(provider),
        f"{provider}",
        repr(vars(provider)),
        repr(dataclasses.asdict(provider)),
        json.dumps(dataclasses.asdict(provider), default=repr),
        repr(dataclasses.astuple(provider)),
        repr(pickle.dumps(provider)),
        repr(provider.api_key),  # type: ignore[attr-defined]  # init-only for type checkers
        f"{provider.api_key}{provider.headers}",  # type: ignore[attr-defined]  # as above
    ]
    for text in shown:
        assert "sk-" not in text


def test_repr() -> None:
    assert repr(Provider(URL, "m")) == (
        "Provider(base_url='https://llm.example/v1', model='m', api_key='', "
        "default_temperature=0.7, default_max_tokens=4096, timeout=120.0)"
    )
    provider = Provider(
        URL + "?key=hunter2&api-version=1",
        "m",
        KEY,
        omit={"temperature"},
        headers={"X-A": "secret"},
        deadline=9,
    )
    assert repr(provider) == (
        "Provider(base_url='https://llm.example/v1?key=[REDACTED]&api-version=1', model='m', api_key='***', "
        "default_temperature=0.7, default_max_tokens=4096, timeout=120.0, omit=frozenset({'temperature'}), "
        "deadline=9, headers={'X-A': '***'})"
    )


def test_equality_includes_the_key_and_the_headers() -> None:
    assert Provider(URL, "m", KEY) == Provider(URL, "m", KEY + "\n")
    assert hash(Provider(URL, "m", KEY)) == hash(Provider(URL, "m", KEY))
    assert Provider(URL, "m", KEY) != Provider(URL, "m", "other")
    assert Provider(URL, "m", headers={"a": "b"}) != Provider(URL, "m", headers={"a": "c"})
    assert Provider(URL, "m") != Provider(URL, "m", deadline=1)
    assert Provider(URL, "m") != "m"


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, dataclasses.replace])
async def test_copies_keep_the_secrets(server: Server, copier: Any) -> None:
    provider = stdlib(server, api_key=KEY, headers={"X-A": "b"}, extra_body={"seed": [1]})
    twin = copier(provider)
    assert twin == provider
    await body_of(server, twin, USER)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].headers["x-a"] == "b"


async def test_replace_changes_what_it_is_told_to(server: Server) -> None:
    provider = dataclasses.replace(stdlib(server, api_key=KEY), model="n", api_key="other-key")
    assert (await body_of(server, provider, USER))["model"] == "n"
    assert server.requests[0].headers["authorization"] == "Bearer other-key"


async def test_a_pickled_provider_comes_back_without_its_secrets(server: Server) -> None:
    provider = stdlib(server, api_key=KEY, headers={"X-A": "b"}, omit=["stop"], extra_body={"seed": 1})
    lost = pickle.loads(pickle.dumps(provider))
    assert (lost.model, lost.omit, lost.extra_body) == ("m", {"stop"}, {"seed": 1})
    assert "api_key='***'" in repr(lost)
    with pytest.raises(PermanentError, match=r"api_key and headers.*dataclasses\.replace") as caught:
        await lost.complete(USER)
    assert not caught.value.dispatched
    again = pickle.loads(pickle.dumps(lost))
    half = dataclasses.replace(again, api_key=KEY)
    with pytest.raises(PermanentError, match=r"leaves its headers out.*\(provider, headers=\.\.\.\)$"):
        await half.complete(USER)
    whole = dataclasses.replace(half, headers={"X-A": "b"})
    assert whole == provider
    await body_of(server, whole, USER)
    assert not server.requests[0].headers["authorization"].endswith("*")


async def test_a_pickled_provider_without_secrets_just_works(server: Server) -> None:
    provider = pickle.loads(pickle.dumps(stdlib(server)))
    assert (await body_of(server, provider, USER))["model"] == "m"


def test_a_pickled_provider_with_a_client_of_its_own_is_refused() -> None:
    class AsyncClient:
        def build_request(self, method: str, url: Any) -> Any: ...

        async def send(self, request: Any) -> Any: ...

        async def aclose(self) -> None: ...

    client = AsyncClient()
    provider = Provider(URL, "m", http_client=client)
    assert "http_client=" in repr(provider)
    assert copy.copy(provider) == provider
    with pytest.raises(TypeError, match="http_client"):
        pickle.dumps(provider)
    with pytest.raises(ValueError, match="http_client"):
        Provider(URL, "m", http_client=client, backend="stdlib")


# What a call sends


async def test_defaults_and_overrides(server: Server) -> None:
    provider = stdlib(server, default_temperature=0.1, default_max_tokens=7)
    body = await body_of(server, provider, USER)
    assert (body["temperature"], body["max_tokens"]) == (0.1, 7)
    body = await body_of(server, provider, USER, temperature=0, max_tokens=1)
    assert (body["temperature"], body["max_tokens"]) == (0, 1)


async def test_tools_are_sent_only_when_there_are_any(server: Server) -> None:
    assert "tools" not in await body_of(server, stdlib(server), USER, tools=[])
    assert "tools" not in await body_of(server, stdlib(server), USER, tools=None)
    assert (await body_of(server, stdlib(server), USER, tools=[{"type": "function"}]))["tools"] == [
        {"type": "function"}
    ]


async def test_further_fields_override_extra_body_and_none_leaves_it(server: Server) -> None:
    provider = stdlib(server, extra_body={"seed": 1, "user": "u", "logit_bias": None})
    body = await body_of(server, provider, USER, seed=2, user=None, stop=None)
    assert (body["seed"], body["user"], body["logit_bias"]) == (2, "u", None)
    assert "stop" not in body


async def test_a_reasoning_model_by_settings_alone(server: Server) -> None:
    provider = stdlib(
        server,
        max_tokens_field="max_completion_tokens",
        omit={"temperature", "seed"},
        extra_body={"reasoning_effort": "low"},
    )
    body = await body_of(server, provider, USER, temperature=0.9, max_tokens=5, seed=1)
    assert body == {"model": "m", "messages": USER, "max_completion_tokens": 5, "reasoning_effort": "low"}
    body = await body_of(server, stdlib(server, omit={"max_tokens", "temperature"}), USER, max_tokens=5)
    assert body == {"model": "m", "messages": USER}
    renamed = stdlib(server, max_tokens_field="limit", omit={"limit", "temperature"})
    assert await body_of(server, renamed, USER) == {"model": "m", "messages": USER}


async def test_any_mapping_and_sequence_can_be_sent(server: Server) -> None:
    message = MappingProxyType({"role": "user", "content": ({"type": "text", "text": "a"},)})
    tool = {"type": "function", "function": MappingProxyType({"parameters": UserList([1])})}
    body = await body_of(server, stdlib(server), (message,), tools=(tool,))
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
    assert body["tools"] == [{"type": "function", "function": {"parameters": [1]}}]


async def test_settings_are_copied(server: Server) -> None:
    given = {"metadata": {"a": [1]}}
    omit = ["temperature"]
    provider = stdlib(server, extra_body=given, omit=omit)
    given["metadata"]["a"].append(2)
    omit.clear()
    body = await body_of(server, provider, USER)
    assert body["metadata"] == {"a": [1]}
    assert "temperature" not in body


async def test_lone_surrogates_are_replaced_both_ways(server: Server) -> None:
    server.script = http(json.dumps(completion("a\ud800b \ud83d\ude00")))
    async with stdlib(server) as provider:
        response = await provider.complete([{"role": "user", "content": "x\udfffy \U0001f600"}])
    assert server.requests[0].json["messages"][0]["content"] == "x\ufffdy \U0001f600"
    assert response.content == "a\ufffdb \U0001f600"


def circle() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def deep() -> Any:
    nest: Any = "x"
    for _ in range(100_000):
        nest = [nest]
    return nest


BAD_CALLS: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
    (TypeError, "messages must be a list of dicts, got str", "hello", {}),
    (TypeError, "messages must be a list of dicts, got bytes", b"hello", {}),
    (TypeError, "messages must be a list of dicts, got dict", USER[0], {}),
    (TypeError, "messages must be a list of dicts, but holds a str", ["hello"], {}),
    (TypeError, "messages must be a list of dicts, got NoneType", None, {}),
    (ValueError, "at least one message", [], {}),
    (TypeError, "tools must be a list", USER, {"tools": {"a": 1}}),
    (TypeError, "tools must be a list", USER, {"tools": ["a"]}),
    (ValueError, "temperature", USER, {"temperature": 3}),
    (ValueError, "temperature", USER, {"temperature": math.nan}),
    (ValueError, "max_tokens", USER, {"max_tokens": 0}),
    (TypeError, "complete.. must not set 'stream': complete.. returns whole replies", USER, {"stream": True}),
    (TypeError, "must not set 'model'.*replace", USER, {"model": "n"}),
    (TypeError, "must not set 'max_completion_tokens'.*max_tokens_field", USER, {"max_completion_tokens": 1}),
    (ValueError, "JSON", USER, {"top_p": math.inf}),
    (ValueError, "JSON", [{"role": "user", "content": math.nan}], {}),
    (TypeError, "a value of type object can't be sent as JSON", USER, {"stop": object()}),
    (TypeError, "a value of type bytes can't be sent as JSON", [{"role": "user", "content": b"x"}], {}),
    (ValueError, "Circular", USER, {"stop": circle()}),
]


@pytest.mark.parametrize(("kind", "text", "messages", "kwargs"), BAD_CALLS)
async def test_a_call_that_is_refused_before_it_is_sent(
    server: Server, kind: type[Exception], text: str, messages: Any, kwargs: dict[str, Any]
) -> None:
    with pytest.raises(kind, match=text) as caught:
        await stdlib(server).complete(messages, **kwargs)
    assert getattr(caught.value, "dispatched", True) is False
    assert not server.connections


async def test_a_request_nested_too_deep(server: Server) -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        await stdlib(server).complete(USER, stop=deep())


async def test_the_name_given_to_max_tokens_is_taken_too(server: Server) -> None:
    provider = stdlib(server, max_tokens_field="limit")
    with pytest.raises(TypeError, match="must not set 'limit'"):
        await provider.complete(USER, limit=3)
    with pytest.raises(ValueError, match="must not set 'limit'"):
        stdlib(server, max_tokens_field="limit", extra_body={"limit": 3})


def test_a_subclass_stays_what_it_is() -> None:
    class Mine(Provider):
        pass

    mine = Mine(URL, "m", KEY)
    assert type(copy.copy(mine)) is Mine
    assert repr(mine).startswith("Mine(")
    assert mine != Provider(URL, "m", KEY)


def test_making_one_opens_nothing() -> None:
    for _ in range(100):
        dataclasses.replace(Provider(URL, "m", KEY), timeout=1.0)


async def test_cancelled_while_the_first_task_turn(server: Server) -> None:
    task = asyncio.ensure_future(stdlib(server).complete(USER))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
