"""The endpoint's answers: checks, script or model, faults, and the gate that holds requests back."""

import asyncio
import contextlib
import inspect
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeAlias

from executionkit import _checks as checks
from executionkit._json import is_object
from executionkit.responses import LLMResponse
from executionkit.testing._completions import completion
from executionkit.testing._faults import Answer, Body, Fault, checked_answer
from executionkit.testing._http import Head, Reply, error_body, error_reply, event, json_body
from executionkit.testing._ledger import Books
from executionkit.testing._limits import Limits
from executionkit.testing._requests import ChatRequest, masked, refusal

Model: TypeAlias = Callable[[ChatRequest], Answer | Awaitable[Answer]]
"""A simulated model: a plain or an async function that takes the request and returns the reply."""

CHAT, MODELS = "/v1/chat/completions", "/v1/models"


class Gate:
    """Holds requests back until the test releases them, in order of arrival.

    `LocalEndpoint.hold` returns one. As a context manager it releases everything on leaving. `release` may be
    called from any thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open = False
        self._permits = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether every request passes from now on."""
        return self._open

    def release(self, count: int | None = None) -> None:
        """Let requests pass.

        Args:
            count: How many; at least 1. Requests that wait now pass first, then those that arrive later.
                Defaults to every request, now and from then on.
        """
        if count is not None and count < 1:
            raise ValueError(f"count must be >= 1 or None, got {count!r}")
        # Before the waiting ones are released: a request in between would find the gate shut for good.
        self._open = self._open or count is None
        # A RuntimeError says that the endpoint was closed meanwhile: nothing waits there any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._release, count)

    async def wait(self) -> None:
        """Wait to be released; for the endpoint itself, inside its own event loop."""
        if self._open:
            return
        if self._permits:
            self._permits -= 1
            return
        turn = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _release(self, count: int | None) -> None:
        left = len(self._waiting) if count is None else count
        while left and self._waiting:
            turn = self._waiting.popleft()
            # Cancelled means that its client went away while it waited; it must not use up a release.
            if not turn.done():
                turn.set_result(None)
                left -= 1
        if count is not None:
            self._permits += left

    def __enter__(self) -> "Gate":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Service:
    """Answers the requests of one endpoint, in its event loop; the arguments are those of `LocalEndpoint`."""

    hung: Gate

    def __init__(
        self,
        script: Iterable[Answer | Model] | Model,
        *,
        models: Sequence[str],
        api_key: str | None,
        reasoning_model: bool,
        strict: bool,
        limits: Limits | None,
    ) -> None:
        if not isinstance(limits, (Limits, type(None))):
            raise TypeError(f"limits must be a Limits or None, got {limits!r}")
        self._limits = limits
        self.books = Books()
        # Counts everything that comes in, so that `settle` can see when nothing more does.
        self.activity = 0
        self.gate: Gate | None = None
        self._script = _entries(script, strict=strict)
        self._models = _names(models)
        if api_key is not None:
            checks.text(api_key=api_key)
        self._api_key = api_key
        self._reasoning_model = reasoning_model

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Get ready to answer on `loop`."""
        self.hung = Gate(loop)

    def release_hung(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the calls that hang now go on."""
        hung, self.hung = self.hung, Gate(loop)
        hung.release()

    def arrived(self, head: Head) -> int | None:
        """Count the request if it is a call, and return its number."""
        return self.books.arrived(head.target, masked(head.headers)) if head.method == "POST" else None

    async def reply(self, head: Head, number: int | None, body: bytes) -> Reply:
        """Answer one request that arrived whole."""
        path = head.target.partition("?")[0]
        if path not in (CHAT, MODELS):
            return error_reply(404, f"Unknown path: {path}", code="unknown_url")
        if head.method != ("POST" if path == CHAT else "GET"):
            return error_reply(405, f"Method {head.method} is not allowed here.")
        if not self._is_authorized(head.headers):
            return error_reply(401, "Incorrect API key provided.", code="invalid_api_key")
        if number is None:
            return self._list_models()
        request = self.books.read(number, _parsed(body))
        refused = refusal(request, models=self._models, reasoning_model=self._reasoning_model)
        if refused is None and self._limits is not None:
            refused = self._limits.admit(request)
        if refused is not None:
            return refused
        reply = await self._answer(request)
        if self._limits is not None:
            self._limits.settle(reply)
        return reply

    def _is_authorized(self, headers: dict[str, str]) -> bool:
        if self._api_key is None:
            return True
        return (
            headers.get("authorization") == f"Bearer {self._api_key}"
            or headers.get("api-key") == self._api_key
        )

    def _list_models(self) -> Reply:
        names = self._models or ("simulated",)
        cards = [{"id": name, "object": "model", "created": 0, "owned_by": "executionkit"} for name in names]
        return Reply(200, json_body({"object": "list", "data": cards}))

    async def _answer(self, request: ChatRequest) -> Reply:
        entry = next(self._script, None)
        if self.gate is not None:
            await self.gate.wait()
        # From here on every failure is a mistake of the test. It gets status 400, which no client retries.
        if entry is None:
            return error_reply(
                400, f"The script has no reply for call {request.number}.", code="script_exhausted"
            )
        try:
            return await self._carried_out(checked_answer(await _called(entry, request)), request)
        except Exception as error:  # noqa: BLE001  # a model is the test's code and may raise anything
            return error_reply(
                400, f"The reply failed with {type(error).__name__}: {error}", code="reply_failed"
            )

    async def _carried_out(self, answer: Answer, request: ChatRequest) -> Reply:
        if not isinstance(answer, Fault):
            return completion(answer, request)
        if answer.seconds:
            await asyncio.sleep(answer.seconds)
        if answer.hangs:
            await self.hung.wait()
        if answer.code is not None:
            return _verbatim(answer.code, answer)
        reply = await self._carried_out(answer.then, request)
        if answer.after is not None and answer.error is None:
            reply.stalls_after = answer.after
        elif answer.after is not None:
            return _failing(reply, answer.after, {"error": answer.error})
        if answer.breaks is not None:
            reply.breaks, reply.sent, reply.resets = answer.breaks, answer.sent, answer.resets
        return reply


def _entries(script: Iterable[Answer | Model] | Model, *, strict: bool) -> Iterator[Answer | Model]:
    if isinstance(script, (str, Mapping, LLMResponse, Fault)) or not (
        callable(script) or isinstance(script, Iterable)
    ):
        raise TypeError(f"script must be a list of replies or a function, got {script!r}")
    if callable(script):
        if strict:
            raise ValueError("strict=True needs a list of replies, not a function")
        return itertools.repeat(script)
    entries = [entry if callable(entry) else checked_answer(entry) for entry in script]
    return iter(entries) if strict else itertools.cycle(entries or [""])


def _names(models: Sequence[str]) -> tuple[str, ...]:
    # A str would be taken for a sequence of one-letter names.
    if isinstance(models, str) or not isinstance(models, Iterable):
        raise TypeError(f"models must be a list of names, got {models!r}")
    names = tuple(models)
    checks.text(**{f"models[{index}]": name for index, name in enumerate(names)})
    return names


async def _called(entry: Answer | Model, request: ChatRequest) -> object:
    if isinstance(entry, (str, LLMResponse, Fault)):
        return entry
    answer = entry(request)
    return await answer if inspect.isawaitable(answer) else answer


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _failing(reply: Reply, after: int, body: dict[str, Any]) -> Reply:
    if not reply.pieces:
        return Reply(200, json_body(body))
    return Reply(200, b"", pieces=(*reply.pieces[:after], event(json.dumps(body))))


def _verbatim(status: int, fault: Fault) -> Reply:
    body, headers = _encoded(status, fault.body), dict(fault.headers)
    reply = Reply(status, body, headers)
    usage = fault.body.get("usage") if is_object(fault.body) else None
    if status == 200 and is_object(usage):
        counted = LLMResponse("", usage=usage)
        reply.input_tokens, reply.output_tokens = counted.input_tokens, counted.output_tokens
    return reply


def _encoded(status: int, body: Body) -> bytes:
    if status in (204, 304):
        return b""
    if body is None:
        return error_body(status, f"Simulated failure {status}.", code=f"simulated_{status}")
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json_body(body)
