"""`Provider`: the client of an OpenAI-compatible chat completions endpoint."""

import asyncio
import importlib.util
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, InitVar, dataclass, field, fields, replace
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, get_args

from executionkit import _checks as checks
from executionkit._json import plain
from executionkit._text import describe
from executionkit.errors import LLMError, PermanentError
from executionkit.provider import _settings
from executionkit.provider._failures import Reporter
from executionkit.provider._http.faults import TransportError
from executionkit.provider._http.per_loop import PerLoop
from executionkit.provider._http.transport import (
    AsyncHTTPClient,
    Backend,
    Dispatch,
    Endpoint,
    Transport,
    open_transport,
)
from executionkit.provider._redaction import redact
from executionkit.provider._reply import interpret
from executionkit.provider._request import Form, compose
from executionkit.provider._secrets import LostSecret, Secret
from executionkit.provider._stream import Limits, ProviderStream
from executionkit.responses import LLMResponse, rebuild
from executionkit.streaming import ReplyStream


class _Derived:
    """What a Provider works out from its fields; a dataclass would take the declarations for fields."""

    _key: Secret
    _headers: Mapping[str, Secret]
    _client: AsyncHTTPClient | None
    _form: Form
    _lost: str
    _limit: float
    _report: Reporter
    _transports: PerLoop[Transport]


@dataclass(frozen=True, eq=False, repr=False)
class Provider(_Derived):
    """A client of one model behind an OpenAI-compatible chat completions endpoint.

    It posts JSON to `{base_url}/chat/completions`. Nothing is opened until the first call; from then on
    connections are kept and reused, in a pool for each event loop that uses the provider. One provider
    serves any number of loops and threads, and each pool is closed with its loop, by `aclose()`, or when the
    provider is dropped.

    The key shows in no repr, message, exception chain or pickle: an unpickled provider refuses to call until
    it is given its key again with `dataclasses.replace(provider, api_key=...)`. Copies made in this process
    keep it, and share no connection with the original.

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
        base_url: Where the API is, without `/chat/completions`; a query (`?api-version=...`) is kept.
        model: The model to ask for.
        api_key (str): Sent as `Authorization: Bearer`; empty sends none. Whitespace around it is dropped,
            because keys read from files end in a newline.
        default_temperature: Used where a call gives none, in [0, 2].
        default_max_tokens: Used where a call gives none, at least 1.
        timeout: The most seconds the server may be silent, and that a request may take altogether unless
            `deadline` says otherwise.
        headers (Mapping[str, str] | None): Extra headers, for services that take their key in one (Azure:
            `api-key`) or want to know who calls (OpenRouter: `HTTP-Referer`). Their values are treated as
            secrets.
        extra_body: Body fields to send with every request, for what a service adds to the API
            (`reasoning_effort`, `chat_template_kwargs`, `provider`). A call's own field of that name wins.
        max_tokens_field: The name under which `max_tokens` is sent, because newer models insist on
            `"max_completion_tokens"`.
        omit: Body fields never to send, because some models answer 400 to them: reasoning models refuse
            `temperature`, some servers `stream_options`. Without `max_tokens` the server's own limit holds,
            and a budget on output tokens can be overrun.
        null_content: What to send in place of null as the content of a message, because some servers refuse
            the null beside tool calls that the API has: `""` for llama-cpp-python. None sends null.
        deadline: The most seconds a request may take altogether, where that should differ from `timeout`:
            more, for a server that sends a long answer bit by bit; less, for a hard limit. None takes
            `timeout`.
        connect_timeout: The most seconds until a connection stands, because a dead host should be noticed
            long before a slow model would have answered; never more than `timeout`.
        max_response_bytes: The largest reply to take, unpacked or not, because a server out of order can send
            without end.
        http_client (AsyncHTTPClient | None): An `httpx.AsyncClient` or `httpx2.AsyncClient` to send through,
            for what has no setting here (client certificates, transports, event hooks). It is never closed,
            and belongs to the loop that it is used in first; its own limits on connections hold.
        backend: The HTTP library: "httpx2", "httpx", "aiohttp" or "stdlib"; "auto" takes the first of these
            that is installed. Results and errors are the same; "aiohttp" takes the least processor time.

    Raises:
        ValueError: A setting is out of range; the text names it, and shows no secret.
        ImportError: The chosen `backend` is not installed.
    """

    base_url: str
    model: str
    api_key: InitVar[str] = ""
    default_temperature: float = 0.7
    default_max_tokens: int = 4096
    timeout: float = 120.0
    _: KW_ONLY
    headers: InitVar[Mapping[str, str] | None] = None
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    max_tokens_field: str = "max_tokens"
    omit: Collection[str] = frozenset()
    null_content: str | None = None
    deadline: float | None = None
    connect_timeout: float = 15.0
    max_response_bytes: int = 32 * 1024 * 1024
    http_client: InitVar[AsyncHTTPClient | None] = None
    backend: Backend = "auto"

    def __post_init__(
        self, api_key: str, headers: Mapping[str, str] | None, http_client: AsyncHTTPClient | None
    ) -> None:
        self._check(http_client)
        key = _settings.secret(api_key, "api_key")
        extra = _settings.secret_headers(headers or {}, has_key=bool(key))
        secrets = {"api_key": key} | {f"headers[{name!r}]": value for name, value in extra.items()}
        endpoint = Endpoint(
            *_settings.address(self.base_url),
            headers=_settings.all_headers(key, extra),
            connect_timeout=min(self.connect_timeout, self.timeout),
            timeout=self.timeout,
            whole_timeout=self.timeout if (self.deadline or 0.0) > self.timeout else None,
            max_bytes=self.max_response_bytes,
        )
        further = plain(self.extra_body)
        omit = frozenset(self.omit)
        values = {
            # The init-only fields, where dataclasses.replace() looks for them.
            "api_key": key,
            "headers": extra,
            "http_client": http_client,
            "extra_body": further,
            "omit": omit,
            "_key": key,
            "_headers": extra,
            "_client": http_client,
            "_form": Form({"model": self.model, **further}, self.max_tokens_field, omit, self.null_content),
            "_lost": " and ".join(name for name, value in secrets.items() if isinstance(value, LostSecret)),
            "_limit": self.timeout if self.deadline is None else self.deadline,
            "_report": Reporter(endpoint.authority, self.model, tuple(secrets.values())),
            "_transports": PerLoop(partial(open_transport, endpoint, self.backend, http_client)),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check(self, http_client: AsyncHTTPClient | None) -> None:
        checks.text(model=self.model, max_tokens_field=self.max_tokens_field)
        for name, value in (("model", self.model), ("max_tokens_field", self.max_tokens_field)):
            if not value:
                raise ValueError(f"{name} must not be empty, got {value!r}")
        checks.between(0.0, 2.0, default_temperature=self.default_temperature)
        checks.at_least(
            1, default_max_tokens=self.default_max_tokens, max_response_bytes=self.max_response_bytes
        )
        checks.positive(timeout=self.timeout, connect_timeout=self.connect_timeout)
        if self.deadline is not None:
            checks.positive(deadline=self.deadline)
        if self.null_content is not None:
            checks.text(null_content=self.null_content)
        _settings.check_body(self.extra_body, self.max_tokens_field)
        _settings.check_names(self.omit)
        checks.one_of(get_args(Backend), backend=self.backend)
        if http_client is not None:
            if not all(hasattr(http_client, name) for name in ("build_request", "send", "aclose")):
                kind = type(http_client).__name__
                raise ValueError(
                    f"http_client must be an httpx.AsyncClient or httpx2.AsyncClient, got {kind}"
                )
            if self.backend != "auto":
                raise ValueError("http_client brings its own back end; leave backend at 'auto'")
        if self.backend not in ("auto", "stdlib") and importlib.util.find_spec(self.backend) is None:
            raise ImportError(f"backend {self.backend!r} is not installed: pip install {self.backend}")

    @property
    def supports_tools(self) -> Literal[True]:
        """Always True: the API has tool calls, whether or not the model makes good use of them."""
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

        Nothing is retried here. Characters that no UTF-8 text can hold (lone surrogates) are sent, and
        returned, as U+FFFD.

        Args:
            messages: The conversation in the OpenAI chat form; at least one message.
            temperature: In [0, 2]; None takes `default_temperature`.
            max_tokens: At least 1; None takes `default_max_tokens`.
            tools: Tool schemas in the OpenAI form; sent only when there are any.
            **kwargs: Further body fields (`stop`, `seed`, `response_format`, ...). One that is None is left
                out, as if it had not been given; to send null, put it into `extra_body`.

        Returns:
            The reply. Whatever the model did with its tool calls is in it and never an error.

        Raises:
            RateLimitError: HTTP 429; `retry_after` seconds later it may be taken.
            PermanentError: Repeating the request can't mend it.
            ProviderError: The request failed, timed out, or the reply is none.
            ValueError: An argument is out of range, or holds a number that JSON has not.
            TypeError: An argument is of the wrong kind, or a keyword would override what the client sets.

        An exception that leaves while the server can't have received the whole request carries
        `dispatched = False`, `asyncio.CancelledError` included; it then cost nothing.
        """
        dispatch = Dispatch()
        try:
            body = compose(
                self._form,
                messages,
                temperature=self.default_temperature if temperature is None else temperature,
                max_tokens=self.default_max_tokens if max_tokens is None else max_tokens,
                tools=tools,
                further=kwargs,
            )
            outcome = await self._post(body, dispatch)
        except BaseException as exc:
            if not dispatch.sent:
                setattr(exc, _DISPATCHED, False)
            raise
        if isinstance(outcome, LLMError):
            # Raised where no other exception is being handled: those of HTTP libraries hold the headers.
            raise outcome
        return outcome

    def stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Send one chat completion request and hand the reply over while it is being written.

        The request goes out on entering; leaving ends it. The errors are those of `complete`, from entering
        or between two events, and one that comes after some text has it in `.metadata["partial_text"]`. A
        server that answers with a whole completion instead of a stream is taken at its word: what it says
        comes in one piece.

        `timeout` is the longest silence of the server, from start to end. `deadline` is the most a stream may
        take altogether; where it is None, only the wait for the beginning of the reply is limited further, to
        `timeout` seconds in all. `max_response_bytes` bounds an event, the reply's text and what waits to be
        read.

        The usage is asked for (`stream_options`); a server that refuses that needs `omit={"stream_options"}`.
        Where none comes it is estimated, and marked so: `UsageEvent.estimated`,
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
            temperature: In [0, 2]; None takes `default_temperature`.
            max_tokens: At least 1; None takes `default_max_tokens`.
            tools: Tool schemas in the OpenAI form; sent only when there are any.
            **kwargs: Further body fields, as in `complete`.

        Returns:
            The stream. Arguments are checked when it is entered.
        """

        def body() -> bytes:
            return compose(
                self._form,
                messages,
                temperature=self.default_temperature if temperature is None else temperature,
                max_tokens=self.default_max_tokens if max_tokens is None else max_tokens,
                tools=tools,
                further=kwargs,
                streamed=True,
            )

        limits = Limits(self._limit, self._limit_name, self.deadline, self.max_response_bytes)
        return ProviderStream(body, self._connect, limits, self._report)

    async def _connect(self) -> Transport | LLMError:
        report = self._report
        if self._lost:
            text = f"{self._lost} stayed behind when this provider was pickled; set it again with "
            return PermanentError(text + "dataclasses.replace(provider, api_key=...)", dispatched=False)
        try:
            return await self._transports.get()
        except (ImportError, OSError, ValueError) as exc:
            why = report.clean(describe(exc))
        except Exception as exc:  # noqa: BLE001  # a library's own; what it says may be anything
            why = type(exc).__name__
        return PermanentError(f"the connection to {report.host} can't be set up: {why}", dispatched=False)

    async def _post(self, body: bytes, dispatch: Dispatch) -> LLMResponse | LLMError:
        transport = await self._connect()
        if isinstance(transport, LLMError):
            return transport
        report = self._report.through(transport.proxy)
        try:
            async with asyncio.timeout(self._limit):
                reply = await transport.post(body, dispatch)
        except TimeoutError:
            fault = TransportError(f"no complete reply within {self._limit:g} s ({self._limit_name})")
        except TransportError as exc:
            fault = exc
        else:
            return interpret(reply, self.max_response_bytes, report)
        return report.fault(fault, dispatch)

    @property
    def _limit_name(self) -> str:
        return "timeout" if self.deadline is None else "deadline"

    async def aclose(self) -> None:
        """Close the connections that the running loop holds; requests of it under way fail.

        It may be called any number of times, and a later call opens connections anew. A caller's own
        `http_client` is left open.
        """
        await self._transports.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        shown: dict[str, object] = {
            "base_url": redact(self.base_url, self._report.secrets),
            "model": self.model,
            "api_key": self._key,
        }
        for spec in fields(self)[2:]:
            value = getattr(self, spec.name)
            default = spec.default_factory() if spec.default_factory is not MISSING else spec.default
            if not spec.kw_only or value != default:
                shown[spec.name] = value
        if self._headers:
            shown["headers"] = dict(self._headers)
        if self._client is not None:
            shown["http_client"] = self._client
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def _values(self) -> dict[str, Any]:
        own = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        return {**own, "api_key": self._key, "headers": dict(self._headers), "http_client": self._client}

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
        if self._client is not None:
            raise TypeError(
                "a Provider with an http_client can't be pickled: the client belongs to this process"
            )
        return rebuild, (type(self), self._values())


_DISPATCHED = "dispatched"  # a name, because exceptions of Python's own declare no such attribute
