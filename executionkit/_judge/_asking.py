"""Asking a model for a verdict, at most twice: in the server's schema mode if it has one, else in words."""

import asyncio
import hashlib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from executionkit._callables import misfit
from executionkit._judge._replies import reasons_in_json, spoken
from executionkit._prompt import Content
from executionkit._refusals import LOGPROBS, NO_LOGPROBS, refuses_logprobs
from executionkit._schema_modes import MEMORY, is_lasting, refuses_mode, request_fields
from executionkit.engine.relay import Relay
from executionkit.engine.run import Run
from executionkit.errors import BudgetExhaustedError, LLMError, PatternError, was_dispatched
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse

T = TypeVar("T")

TEMPERATURE: Final = 0.1
MAX_TOKENS: Final = 256


def fence_for(*texts: str) -> str:
    """The part of the names of the tags around texts, so that no text can close its tags.

    It is a digest of the texts, which none of them can contain but by chance. So the same texts make the same
    request, which can be replayed and found in caches.
    """
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def request_about(template: str, task: Content, **values: str) -> Content:
    """Fill in a request. Where the task has parts, they stand in their order between its tags."""
    before, after = (half.format(**values) for half in template.split("{task}"))
    if isinstance(task, str):
        return f"{before}{task}{after}"
    return [{"type": "text", "text": before}, *task, {"type": "text", "text": after}]


@dataclass(frozen=True)
class Question(Generic[T]):
    """A question with a verdict for an answer. Its texts begin with what is the same from call to call.

    Attributes:
        words: The request where the reply is not bound to a schema.
        bound: The request where it is.
        again: The second request, for a reply that could not be read.
        schema: The schema of a verdict with its reasons.
        brief: The schema of the verdict alone, for the second request.
        read: Reads a verdict for certain; None where that can't be done.
        what: The verdict, for messages.
        weighs: Whether to ask for the log-probabilities of the reply's tokens.
    """

    words: Content
    bound: Content
    again: str
    schema: Mapping[str, Any]
    brief: Mapping[str, Any]
    read: Callable[[LLMResponse], T | None]
    what: str
    weighs: bool = False

    async def ask(self, provider: LLMProvider, max_tokens: int) -> tuple[T, str]:
        """Ask a model, at most twice; of a panel, one member.

        Returns:
            The verdict, and the reasons in the first reply if there were two, else "".

        Raises:
            PatternError: The second reply could not be read either.
        """
        if isinstance(provider, Run):
            return await provider.at_one_member(lambda run: self._ask(run, max_tokens))
        return await self._ask(provider, max_tokens)

    async def _ask(self, provider: LLMProvider, max_tokens: int) -> tuple[T, str]:
        reply, request, is_bound = await self._first(provider)
        verdict = self.read(reply)
        if verdict is not None:
            return verdict, ""
        messages: list[dict[str, Any]] = [{"role": "user", "content": request}]
        # A reply of hidden reasoning only is empty, and servers refuse an empty message.
        if reply.content.strip():
            messages += [
                {"role": "assistant", "content": reply.content},
                {"role": "user", "content": self.again},
            ]
        target = provider.target if isinstance(provider, Run) else provider
        fields = request_fields("json_schema", self.brief) if is_bound else {}
        second = await self._complete(provider, target, messages, max(MAX_TOKENS, max_tokens), fields)
        verdict = self.read(second)
        if verdict is None:
            raise PatternError(
                f"the judge's replies can't be read as {self.what}, the last one was "
                f"{second.content[:200]!r}; use a model that follows the format, or an evaluator of your own"
            )
        reasons = reasons_in_json(reply.content)
        return verdict, spoken(reply.content) if reasons is None else reasons

    async def _first(self, provider: LLMProvider) -> tuple[LLMResponse, Content, bool]:
        """The first reply, the request it answers, and whether that was sent in the schema mode."""
        target = provider.target if isinstance(provider, Run) else provider
        mode = MEMORY.recall(target, self.schema)
        if mode is None and _may_be_tried(provider, target):
            # One request finds out about the mode. The others wait for it: a refusal costs one call.
            async with _turn(target):
                mode = MEMORY.recall(target, self.schema)
                if mode is None:
                    return await self._try(provider, target)
        return await (self._try if mode == "json_schema" else self._in_words)(provider, target)

    async def _try(self, provider: LLMProvider, target: LLMProvider) -> tuple[LLMResponse, Content, bool]:
        """Ask in the schema mode, or in words if the server refuses it; remember what it does."""
        door: LLMProvider = _Door(target)
        if isinstance(provider, Run):
            door = Run("judge", door, within=provider)
        try:
            reply = await self._first_of(door, target, self.bound, request_fields("json_schema", self.schema))
        except _RefusedError as refused:
            answered = await self._in_words(provider, target)
            if refused.is_final or target in _DOUBTED:
                MEMORY.learn(target, self.schema, "none")
            else:
                _DOUBTED.add(target)
            return answered
        MEMORY.learn(target, self.schema, "json_schema")
        return reply, self.bound, True

    async def _in_words(
        self, provider: LLMProvider, target: LLMProvider
    ) -> tuple[LLMResponse, Content, bool]:
        return await self._first_of(provider, target, self.words, {}), self.words, False

    async def _first_of(
        self, provider: LLMProvider, target: LLMProvider, content: Content, fields: Mapping[str, Any]
    ) -> LLMResponse:
        messages = [{"role": "user", "content": content}]
        return await self._complete(provider, target, messages, MAX_TOKENS, fields)

    async def _complete(
        self,
        provider: LLMProvider,
        target: LLMProvider,
        messages: list[dict[str, Any]],
        max_tokens: int,
        fields: Mapping[str, Any],
    ) -> LLMResponse:
        settings: dict[str, Any] = {"temperature": TEMPERATURE, "max_tokens": max_tokens, **fields}
        if self.weighs:
            return await weighed(provider, target, messages, settings)
        return await provider.complete(messages, **settings)


async def weighed(
    provider: LLMProvider, target: LLMProvider, messages: list[dict[str, Any]], settings: Mapping[str, Any]
) -> LLMResponse:
    """Ask with the log-probabilities of the likeliest tokens, as many as the server sends, if it does."""
    known = LOGPROBS.recall(target, "")
    if misfit(target.complete, [], temperature=0.0, max_tokens=1, logprobs=True, top_logprobs=1):
        known = NO_LOGPROBS
    for most in (20, 5):
        if known is not None and most > known:
            continue
        asked: dict[str, Any] = {"logprobs": True, "top_logprobs": most}
        if isinstance(provider, Run):
            asked["is_final"] = _refuses_logprobs
        try:
            return await provider.complete(messages, **settings, **asked)
        except LLMError as exc:
            if not refuses_logprobs(exc):
                raise
        LOGPROBS.learn(target, "", 5 if most > 5 else NO_LOGPROBS)
    return await provider.complete(messages, **settings)


def _refuses_logprobs(exc: Exception) -> bool:
    return isinstance(exc, LLMError) and refuses_logprobs(exc)


# -- the schema mode ---------------------------------------------------------------------------------------


class _RefusedError(Exception):
    """The server refuses the schema mode. It is no error of the library, so that no run retries it.

    Attributes:
        is_final: Whether it will come again: it may also be a fault of the moment.
        dispatched: Whether a request was sent, and counts.
    """

    def __init__(self, exc: Exception) -> None:
        super().__init__(str(exc))
        self.status_code: object = getattr(exc, "status_code", None)  # for observers and the log
        self.is_final = not isinstance(exc, LLMError) or is_lasting(exc)
        # A provider raises these for a keyword that it doesn't know.
        is_own = isinstance(exc, (TypeError, ValueError, NotImplementedError))
        self.dispatched: bool = was_dispatched(exc) and not is_own


class _Door(Relay):
    """A provider that raises `_RefusedError` where the server or its provider refuses the schema mode."""

    async def complete(self, messages: list[dict[str, Any]], **options: Any) -> LLMResponse:
        try:
            return await super().complete(messages, **options)
        except LLMError as exc:
            if not refuses_mode(exc):
                raise
            raise _RefusedError(exc) from exc
        except Exception as exc:
            # A provider of the user's may not know the field, or pass on the error of another library.
            if "response_format" not in str(exc):
                raise
            raise _RefusedError(exc) from exc


_DOUBTED: Final[weakref.WeakSet[LLMProvider]] = weakref.WeakSet()
"""Providers that refused the schema mode once, perhaps by a fault of the moment."""

_TURNS: Final[weakref.WeakKeyDictionary[object, weakref.WeakKeyDictionary[object, asyncio.Lock]]] = (
    weakref.WeakKeyDictionary()
)


def _turn(target: LLMProvider) -> asyncio.Lock:
    """The lock of a provider on the running loop."""
    locks = _TURNS.setdefault(target, weakref.WeakKeyDictionary())
    return locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _may_be_tried(provider: LLMProvider, target: LLMProvider) -> bool:
    """Whether the schema mode may be asked for: a refusal can be remembered, and paid for."""
    try:
        hash(target)
        weakref.ref(target)
    except TypeError:
        return False
    if misfit(target.complete, [], temperature=0.0, max_tokens=1, response_format={}):
        return False
    try:
        if isinstance(provider, Run):
            provider.require(2, replies=1)
    except BudgetExhaustedError:
        return False
    return True
