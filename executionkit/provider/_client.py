"""`Provider`: the client of an OpenAI-compatible chat completions endpoint."""

import importlib.util
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, InitVar, dataclass, field, fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from executionkit import _checks as checks
from executionkit._json import plain
from executionkit._redaction import redact
from executionkit._secrets import LostSecret, Secret
from executionkit.prices import GENAI_MISSING, Prices, is_price_book
from executionkit.provider import _settings as settings
from executionkit.provider._failures import Reporter
from executionkit.provider._http.backends import Backend
from executionkit.provider._http.transport import AsyncHTTPClient, Endpoint
from executionkit.provider._request import Arguments, Form, all_headers
from executionkit.provider._session import Session
from executionkit.responses import LLMResponse, rebuild
from executionkit.streaming import ReplyStream


@dataclass(frozen=True, eq=False, repr=False)
class Provider:
    """A client for one model behind an OpenAI-compatible chat completions endpoint.

    It posts JSON to `{base_url}/chat/completions`. The first call opens a connection; connections are kept
    and reused. Each event loop has its own pool, so one provider serves any number of loops and threads. A
    pool is closed with its loop, by `aclose()`, or when the provider is dropped.

    The API key never appears in a repr, a message, an exception chain or a pickle. An unpickled provider
    refuses calls until it gets its key again: `dataclasses.replace(provider, api_key=...)`. Copies made in
    the same process keep the key. They share no connections with the original.

    Example:
        ```python
        from executionkit import Provider

        async with Provider(
            "http://localhost:8000/v1", "my-model", timeout=60.0
        ) as provider:
            reply = await provider.complete(
                [{"role": "user", "content": "The capital of France?"}]
            )
        print(reply.content, reply.finish_reason, reply.total_tokens)
        ```

    Attributes:
        base_url: The URL of the API, without `/chat/completions`. A query (`?api-version=...`) is kept.
        model: The model to ask for.
        api_key (str | Callable[[], str | Awaitable[str]]): Sent as `Authorization: Bearer`. Defaults to "",
            which sends no key. Whitespace around it is dropped, because keys read from files end in a
            newline. A function, plain or async, is called before each request, for tokens that live for a
            short time. After a 401 it is called once more, and another token is tried. It may take as long as
            a request. A plain function must not block the event loop.
        default_temperature: Used when a call gives no temperature; in [0, 2].
        default_max_tokens: Used when a call gives no `max_tokens`; at least 1.
        timeout: The most seconds that the server may be silent. Also the most seconds that a whole request
            may take, unless `deadline` is set.
        headers (Mapping[str, str] | None): Extra headers. Some services take their key in one (Azure:
            `api-key`) or ask who calls (OpenRouter: `HTTP-Referer`). Their values are treated as secrets.
        extra_body: Body fields to send with every request, such as `reasoning_effort`,
            `chat_template_kwargs` or `provider`. A keyword of the same name in a call replaces the field.
        max_tokens_field: The name under which `max_tokens` is sent. Newer OpenAI models require
            `"max_completion_tokens"`.
        omit: Body fields never to send, because some models answer 400 to them: reasoning models refuse
            `temperature`, some servers refuse `stream_options`. Without `max_tokens` only the server limits
            the length of a reply, so a budget of output tokens can be exceeded.
        null_content: Sent in place of null as the content of a message. Set it to `""` for servers that
            refuse the null that the API has beside tool calls, such as llama-cpp-python. Defaults to null.
        omit_from_turns: Fields of assistant messages, and of the tool calls in them, never to send back.
            `react_loop` sends a turn back as it came, because many servers want their signatures and
            reasoning back; some refuse the fields of others, or their own (`reasoning_content`).
        system_messages: Whether the model takes system messages. With False their text is sent at the
            beginning of the user message that follows, because the chat templates of some models refuse
            system messages or drop them (Gemma, older Mistral models).
        stream_always: Whether `complete` sends every request as a stream and puts the reply together. Many
            servers go on generating, and keep a slot busy, when a client leaves a request that was not
            streamed. Leaving a stream, by cancelling or by a time limit, ends its generation. The reply and
            the errors are the same, and so are `timeout` and `deadline`. An error that follows some text has
            that text in `.metadata["partial_text"]`. If the server reports no usage, it is estimated.
        deadline: The most seconds that a request may take in all. Set it above `timeout` for a server that
            sends a long answer slowly, below it for a hard limit. Defaults to `timeout`.
        connect_timeout: The most seconds until a connection is open. It is short, because a dead host should
            be noticed long before a slow model would answer; never more than `timeout`.
        max_response_bytes: The most bytes that a reply may have, compressed or not, because a broken server
            can send without end.
        http_client (AsyncHTTPClient | None): An `httpx.AsyncClient` or `httpx2.AsyncClient` to send through,
            for settings that Provider lacks (client certificates, transports, event hooks). Its own limits on
            connections hold. It belongs to the event loop that uses it first, and the provider never closes
            it.
        prices: What replies cost: a price book, such as `Rates`, or "genai" for that of the package
            genai-prices, which knows models by their names and `base_url`. It is loaded at the first call.
            Then `cost.usd` of results and errors is the price, and a ceiling in dollars can be set. A price
            that the server reports itself goes first. Defaults to none: `usd` is None.
        backend: The HTTP library: "httpx2", "httpx", "aiohttp" or "stdlib". "auto" takes the first of these
            that is installed. Results and errors are the same with each; "aiohttp" needs the least CPU time.

    Raises:
        ValueError: A setting is out of range. The message names it and shows no secret.
        ImportError: The chosen `backend`, or the package genai-prices, is not installed.
    """

    base_url: str
    model: str
    api_key: InitVar[str | Callable[[], str | Awaitable[str]]] = ""
    default_temperature: float = 0.7
    default_max_tokens: int = 4096
    timeout: float = 120.0
    _: KW_ONLY
    headers: InitVar[Mapping[str, str] | None] = None
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_tokens_field: str = "max_tokens"
    omit: Collection[str] = frozenset()
    null_content: str | None = None
    omit_from_turns: Collection[str] = frozenset()
    system_messages: bool = True
    stream_always: bool = False
    deadline: float | None = None
    connect_timeout: float = 15.0
    max_response_bytes: int = 32 * 1024 * 1024
    http_client: InitVar[AsyncHTTPClient | None] = None
    backend: Backend = "auto"
    prices: Prices | None = None

    if TYPE_CHECKING:  # not a field: fields(), asdict() and replace() must not find it
        _session: Session = field(init=False)

    def __post_init__(
        self,
        api_key: str | Callable[[], str | Awaitable[str]],
        headers: Mapping[str, str] | None,
        http_client: AsyncHTTPClient | None,
    ) -> None:
        self._check(http_client)
        ask_key = api_key if callable(api_key) else None
        given = "" if callable(api_key) else api_key
        key = settings.secret(given, "api_key", '; for a server that needs no key, use api_key=""')
        extra = settings.secret_headers(headers or {}, has_key=bool(key or ask_key))
        values = {
            # The init-only values stay here, because dataclasses.replace() looks for them.
            "api_key": ask_key or key,
            "headers": extra,
            "http_client": http_client,
            "extra_body": plain(self.extra_body),
            "omit": frozenset(self.omit),
            "omit_from_turns": frozenset(self.omit_from_turns),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        endpoint = Endpoint(
            *settings.address(self.base_url),
            headers=all_headers(key, extra),
            connect_timeout=min(self.connect_timeout, self.timeout),
            timeout=self.timeout,
            whole_timeout=self.timeout if (self.deadline or 0.0) > self.timeout else None,
            max_bytes=self.max_response_bytes,
        )
        form = Form(
            {"model": self.model, **self.extra_body},
            self.default_temperature,
            self.default_max_tokens,
            self.max_tokens_field,
            self.omit,
            self.null_content,
            self.omit_from_turns,
            self.system_messages,
        )
        limits = settings.Limits(self.timeout, self.deadline, self.max_response_bytes)
        secrets = {"api_key": [key], "headers": [*extra.values()]}
        report = Reporter(endpoint.authority, self.model, (key, *extra.values()))
        lost = [name for name, held in secrets.items() if any(isinstance(each, LostSecret) for each in held)]
        session = Session(
            *(endpoint, form, limits, report, self.backend, http_client, ask_key, lost),
            streams_always=self.stream_always,
        )
        object.__setattr__(self, "_session", session)

    def _check(self, http_client: AsyncHTTPClient | None) -> None:
        for name in ("model", "max_tokens_field"):
            if not settings.text(getattr(self, name), name):
                raise ValueError(f"{name} must not be empty")
        checks.between(0.0, 2.0, default_temperature=self.default_temperature)
        checks.at_least(
            1, default_max_tokens=self.default_max_tokens, max_response_bytes=self.max_response_bytes
        )
        checks.positive(timeout=self.timeout, connect_timeout=self.connect_timeout)
        if self.deadline is not None:
            checks.positive(deadline=self.deadline)
        if self.null_content is not None:
            checks.text(null_content=self.null_content)
        settings.check_body(self.extra_body, self.max_tokens_field)
        settings.check_names(self.omit)
        settings.check_turn_fields(self.omit_from_turns)
        for name in ("system_messages", "stream_always"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        checks.one_of(get_args(Backend), backend=self.backend)
        if http_client is not None:
            if not all(hasattr(http_client, name) for name in ("build_request", "send", "aclose")):
                kind = type(http_client).__name__
                raise ValueError(
                    f"http_client must be an httpx.AsyncClient or httpx2.AsyncClient, got {kind}"
                )
            if self.backend != "auto":
                raise ValueError("http_client is used instead of a backend; leave backend at 'auto'")
        if self.prices == "genai":
            if importlib.util.find_spec("genai_prices") is None:
                raise ImportError(GENAI_MISSING)
        elif self.prices is not None and not is_price_book(self.prices):
            raise ValueError(f"prices must be a price book, 'genai' or None, got {self.prices!r}")
        if self.backend not in ("auto", "stdlib") and importlib.util.find_spec(self.backend) is None:
            raise ImportError(f"backend {self.backend!r} is not installed: pip install {self.backend}")

    @property
    def supports_tools(self) -> Literal[True]:
        """Always True: the API has tool calls. Whether a model uses them well is another matter."""
        return True

    async def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Send one chat completion request and return the reply.

        A failed request is not retried here. Lone surrogates, which UTF-8 can't carry, are replaced by U+FFFD
        in the request and in the reply.

        Args:
            messages: The conversation in the OpenAI chat form; at least one message.
            temperature: In [0, 2]. Defaults to `default_temperature`.
            max_tokens: At least 1. Defaults to `default_max_tokens`.
            tools: Tool schemas in the OpenAI form. An empty list is not sent.
            **kwargs: Further body fields (`stop`, `seed`, `response_format`, ...). A field that is None is
                not sent. To send null, put the field into `extra_body`. Options of other clients (`headers`,
                `max_retries`, ...) are a TypeError. Four keywords are no fields; they mean what they mean in
                OpenAI's client, for this call:

                * `timeout`: The most seconds that the call may take, in place of the provider's `timeout`
                  and `deadline`.
                * `extra_headers`: Headers to add or to replace. Their values are treated as secrets.
                * `extra_query`: Parameters to add to the URL, or to replace there.
                * `extra_body`: Body fields that win over all others.

        Returns:
            The reply. Malformed tool calls are part of it, and never an error.

        Raises:
            RateLimitError: HTTP 429. `retry_after` says how many seconds to wait.
            PermanentError: Repeating the request can't help.
            ProviderError: The request failed or timed out, the body is not a chat completion, or the
                generation failed. What was written before is in `.metadata["partial_text"]`.
            ValueError: An argument is out of range, or holds a number that JSON does not have.
            TypeError: An argument is of the wrong type, or a keyword would override what the client sets.

        If the server can't have received the whole request, the exception carries `dispatched = False` and
        the call cost nothing. This holds for every exception, `asyncio.CancelledError` included.
        """
        return await self._session.complete(Arguments(messages, temperature, max_tokens, tools, kwargs))

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Send one chat completion request and read the reply while the model writes it.

        Entering the stream sends the request, and leaving it ends the request. The errors are those of
        `complete`. They are raised on entering or between two events. An error that follows some text has
        that text in `.metadata["partial_text"]`. If the server ignores `stream` and sends a whole completion,
        each of its texts arrives as one event.

        `timeout` limits every silence of the server. `deadline` limits the whole stream; without a
        `deadline`, `timeout` also limits the wait for the beginning of the reply. `max_response_bytes` limits
        the size of an event, of the reply's text, and of the data that waits to be read.

        The request asks the server for the usage (`stream_options`). If the server refuses that field, set
        `omit={"stream_options"}`. If no usage comes, it is estimated and marked so: `UsageEvent.estimated`,
        `LLMResponse.usage_is_estimated`.

        Example:
            ```python
            from executionkit import Provider, TextDelta

            provider = Provider("http://localhost:8000/v1", "my-model")
            async with provider.stream([{"role": "user", "content": "Hello"}]) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        print(event.text, end="")
            reply = events.response
            ```

        Args:
            messages: The conversation in the OpenAI chat form; at least one message.
            temperature: In [0, 2]. Defaults to `default_temperature`.
            max_tokens: At least 1. Defaults to `default_max_tokens`.
            tools: Tool schemas in the OpenAI form. An empty list is not sent.
            **kwargs: Further body fields, and options of the call, as in `complete`. Here `timeout` limits
                each silence and the wait for the beginning; a `deadline` of the provider stays.

        Returns:
            The stream. Arguments are checked when it is entered.
        """
        return self._session.stream(Arguments(messages, temperature, max_tokens, tools, kwargs))

    def body_of(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> bytes:
        """Write the JSON body that `complete` would send for these arguments, and send nothing.

        It is for requests that go another way, such as the lines of a batch file. With `stream_always` it is
        the body of a request for a whole reply. `timeout`, `extra_headers` and `extra_query` are options of
        the request, and no part of its body.

        Example:
            ```python
            import json

            from executionkit import Provider

            provider = Provider("http://localhost:8000/v1", "my-model")
            body = provider.body_of(
                [{"role": "user", "content": "The capital of France?"}], max_tokens=5
            )
            assert json.loads(body)["model"] == "my-model"
            ```

        Args:
            messages: The conversation in the OpenAI chat form; at least one message.
            temperature: In [0, 2]. Defaults to `default_temperature`.
            max_tokens: At least 1. Defaults to `default_max_tokens`.
            tools: Tool schemas in the OpenAI form. An empty list is not sent.
            **kwargs: Further body fields, and options of the call, as in `complete`.

        Raises:
            ValueError: An argument is out of range, or holds a number that JSON does not have.
            TypeError: An argument is of the wrong type, or a keyword would override what the client sets.
        """
        return self._session.body(Arguments(messages, temperature, max_tokens, tools, kwargs))

    async def aclose(self) -> None:
        """Close the connections of the running event loop. Requests under way in that loop fail.

        It may be called any number of times, and a later call opens new connections. A client given as
        `http_client` stays open.
        """
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _values(self) -> dict[str, Any]:
        """The arguments that make an equal provider, the secrets among them still hidden."""
        names = [*(spec.name for spec in fields(self)), *_INIT_ONLY]
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        values = self._values()
        given, headers = values["api_key"], dict(values["headers"])
        # The repr of a function may show what it is bound to.
        key = Secret("") if callable(given) else given
        shown = {
            "base_url": redact(self.base_url, (key, *headers.values())),
            "model": self.model,
            "api_key": Secret("***") if callable(given) else key,
        }
        for spec in fields(self)[2:]:
            default = spec.default_factory() if spec.default_factory is not MISSING else spec.default
            if not spec.kw_only or values[spec.name] != default:
                shown[spec.name] = values[spec.name]
        if headers:
            shown["headers"] = headers
        if values["http_client"] is not None:
            shown["http_client"] = values["http_client"]
        from executionkit._display._line import call_line

        return call_line(type(self).__name__, shown)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Provider) or type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((self.base_url, self.model))

    def __copy__(self) -> Self:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return replace(self)

    def __reduce__(self) -> tuple[Any, ...]:
        values = self._values()
        if values["http_client"] is not None:
            raise TypeError(
                "a Provider with an http_client can't be pickled: the client belongs to this process"
            )
        if callable(values["api_key"]):
            values["api_key"] = LostSecret("***")
        return rebuild, (type(self), {**values, "headers": dict(values["headers"])})


_INIT_ONLY = ("api_key", "headers", "http_client")
