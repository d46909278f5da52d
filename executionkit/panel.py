"""`Panel`: several providers that take turns behind the interface of one."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from executionkit import _checks as checks
from executionkit._json import is_sequence
from executionkit._prompt import measured
from executionkit._text import shorten
from executionkit.engine.dealing import Dealer, DealtStream
from executionkit.engine.request import default_max_tokens
from executionkit.engine.run import Run
from executionkit.engine.watch import where
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.streaming import ReplyStream


class Panel(Dealer):
    """Several providers that take turns: a vote on a panel is a vote of several models.

    It is a provider, and may stand wherever one is taken. Calls are dealt in the order in which they begin,
    with no chance in it. With `weights` the turns of one member lie between those of the others. Equal
    weights give A, B, C, A, B, C; `weights=(2, 1)` gives A, B, A.

    * A retry asks the same member again, after the wait that it asked for. So failures change nothing about
      the votes that each model has.
    * A member that fails for good (a wrong key, an account without funds, an unknown model) is passed over,
      and the next one is asked at once. That failed request counts as a call. When all members are passed
      over, they are all asked again.
    * A dialogue stays with one member: the turns of a `react_loop`, a `structured`, a `Conversation` or a
      question to a judge. Servers want their own signatures and tool calls back, and refuse those of others.
    * Each reply is priced by the `prices` of its member. A ceiling in dollars sets aside what the dearest
      member may cost until the call is dealt.

    A panel may be used from several event loops and threads if its members may.

    Example:
        ```python
        from executionkit import MockProvider, Panel, consensus

        # In your program: Panel([Provider(url, "model-a"), Provider(url, "model-b"), ...])
        panel = Panel(
            [MockProvider(["Paris"]), MockProvider(["Lyon"]), MockProvider(["Paris"])]
        )
        result = await consensus(panel, "The capital of France?", num_samples=3)
        assert result.votes == (("Paris", 2), ("Lyon", 1))
        assert panel.dealt == (1, 1, 1)
        ```

    Args:
        providers: The members, at least one. The same provider may be given twice.
        weights: How many turns each member has in a round, at least 1. Defaults to 1 for each.

    Raises:
        TypeError: A member has no `complete` method.
        ValueError: There is no member, a member is a panel or the provider of a `Kit` or a pattern, or
            `weights` has another length or a weight that is no positive integer.
    """

    stream: Callable[..., ReplyStream]

    def __init__(self, providers: Sequence[LLMProvider], weights: Sequence[int] | None = None) -> None:
        if not is_sequence(providers) or not providers:
            raise ValueError(
                f"providers must be a list of at least one provider, got {shorten(repr(providers), 60)}"
            )
        for member in providers:
            if isinstance(member, (Dealer, Run)):
                # The run around a panel has to see each request: those within send several for a call.
                kind = "panel" if isinstance(member, Dealer) else "run"
                raise ValueError(
                    f"a member of a panel can't be a {kind}; give the providers that are inside it"
                )
            Run("panel", member)  # which refuses what is no provider
        if weights is None:
            weights = (1,) * len(providers)
        elif not is_sequence(weights) or len(weights) != len(providers):
            raise ValueError(
                f"weights must have one number for each of {len(providers)} providers, got {weights!r}"
            )
        for weight in weights:
            checks.at_least(1, weights=weight)
        super().__init__(providers, weights)
        if all(callable(getattr(member, "stream", None)) for member in providers):
            # Not a method of the class: isinstance(panel, StreamingProvider) would hold for every panel.
            self.stream = self._stream

    @property
    def weights(self) -> tuple[int, ...]:
        """The turns of each member in a round."""
        return self._weights

    @property
    def dealt(self) -> tuple[int, ...]:
        """How many calls each member was dealt, those that it failed included, retries not.

        A dialogue counts once, whatever the number of its turns.
        """
        return tuple(self._dealt)

    @property
    def passed_over(self) -> tuple[str | None, ...]:
        """The errors of the members that are passed over at present; None for each of the others."""
        return tuple(self._out.get(index) for index in range(len(self._members)))

    @property
    def model(self) -> str | None:
        """The names of the models, joined by " + "; None if no member says."""
        models = [where(member)[0] for member in self._members]
        return " + ".join(dict.fromkeys(filter(None, models))) or None

    @property
    def base_url(self) -> str | None:
        """The URL of the API, if it is the same for all members, else None."""
        urls = [getattr(member, "base_url", None) for member in self._members]
        return urls[0] if len(set(map(str, urls))) == 1 and isinstance(urls[0], str) else None

    @property
    def default_max_tokens(self) -> int:
        """The largest of the members'."""
        return max(map(default_max_tokens, self._members))

    # Any: type checkers know a provider for tools by a Literal[True].
    @property
    def supports_tools(self) -> Any:
        """Whether all members can call tools."""
        return all(getattr(member, "supports_tools", None) is True for member in self._members)

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> LLMResponse:
        """Ask the member whose turn it is; see `LLMProvider.complete`.

        Raises:
            Exception: The member's error. Where all have failed for good it is the last one's, and the others
                stand in its notes.
        """
        return await self.deal().through(
            lambda member: member.complete(
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            )
        )

    def _stream(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> ReplyStream:
        """Stream a reply of the member whose turn it is when the stream is entered."""
        return DealtStream(
            self.deal(),
            lambda member: member.stream(  # type: ignore[attr-defined]  # all members have it
                messages, temperature=temperature, max_tokens=max_tokens, tools=tools, **kwargs
            ),
            measured(messages).in_bytes,
        )

    async def aclose(self) -> None:
        """Close the connections of every member that has any; see `Provider.aclose`.

        Raises:
            Exception: The first error of a member's `aclose`. All members were closed before it is raised; so
                they are before a cancellation goes on.
        """
        errors: list[BaseException] = []
        for member in {id(member): member for member in self._members}.values():
            close = getattr(member, "aclose", None)
            try:
                if callable(close) and inspect.isawaitable(outcome := close()):
                    await outcome
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - raised below
                errors.append(exc)
        if errors:
            raise next((exc for exc in errors if isinstance(exc, asyncio.CancelledError)), errors[0])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        from executionkit._display._glimpse import provider_line

        weights = "" if set(self._weights) == {1} else f", weights={self._weights!r}"
        return f"Panel([{', '.join(map(provider_line, self._members))}]{weights})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self._members), list(self._weights))  # a copy begins with the first turn
