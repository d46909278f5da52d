"""`Conversation`: turns with a model, on one budget, of which none is ever kept by half."""

import inspect
import threading
from collections.abc import Awaitable, Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast, overload

from executionkit import _checks as checks
from executionkit._blocking import runner_for
from executionkit._display import Displayed
from executionkit._dollars import ZERO
from executionkit._json import an_object, plain
from executionkit._keywords import refuse_keyword
from executionkit._opening import Messages, checked_messages, opening, with_system
from executionkit._output import OutputAdapter, Validator
from executionkit._prompt import Prompt, brief
from executionkit._turn_stream import TurnStream
from executionkit.approval import Approval
from executionkit.cost import CostTracker, Tokens, estimates_of
from executionkit.engine.run import Run
from executionkit.events import EventCallback, PatternEvent
from executionkit.patterns._tools import tools_by_name
from executionkit.patterns._transcript import Transcript
from executionkit.patterns.react_loop import ReactOptions, ReactResult, react_loop
from executionkit.patterns.structured import StructuredOptions, StructuredResult, structured
from executionkit.protocols import LLMProvider, ToolCallingProvider
from executionkit.tools._tool import Toolable
from executionkit.types import TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

T = TypeVar("T")

_UNDER_WAY = "a turn is under way: a conversation takes one turn at a time"


class Conversation(Displayed):
    """Turns with a model: it holds the messages, the tools, and one budget for all turns.

    A turn that fails, or is cancelled, leaves `messages` as they were before it. Its error has its
    transcript in `.metadata["messages"]`. `resume` goes on from there. `send` begins another turn instead.

    A conversation belongs to one event loop at a time, and takes one turn at a time.

    Example:
        ```python
        from executionkit import Conversation, MockProvider

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["3.20.", "2.80."])
        chat = Conversation(provider, system="You are a shop assistant.")
        await chat.send("What does tea cost?")
        turn = await chat.send("And a scone?")
        assert (turn.value, len(chat.messages)) == ("2.80.", 5)
        assert chat.usage.llm_calls == 2
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`. With tools,
            its `supports_tools` must be True.
        system: The system message, sent first in every request. It must be None if `messages` begin with a
            system or developer message.
        tools: The tools that the model may call: functions and `Tool` objects.
        messages: The conversation so far, in the form of the chat completions API: `ReactResult.messages`, or
            those that an error had. Where their last turn has no answer, `resume` goes on from there.
        max_cost: Maximum calls and tokens for the whole conversation, retries included. Defaults to no limit.
        **options: Parameters of `react_loop` for every turn: `max_rounds`, `max_history_messages`,
            `on_event`, and so on. Their values are checked when a turn begins.

    Raises:
        TypeError: `provider` has no `complete` method, or a keyword is none of `react_loop`'s.
        ValueError: `messages`, `system` or `max_cost` can't be used, or two tools share a name.
    """

    def __init__(
        self,
        provider: LLMProvider,
        *,
        system: str | None = None,
        tools: Sequence[Toolable] = (),
        messages: Messages | None = None,
        max_cost: TokenUsage | None = None,
        **options: Unpack[ReactOptions],
    ) -> None:
        checks.budget(max_cost=max_cost)
        _check_names("Conversation", options)
        self._tools = list(tools_by_name(tools).values())
        self._options = options
        self._tracker = CostTracker()
        self._run = Run("conversation", provider, max_cost=max_cost, tracker=self._tracker, is_dialogue=True)
        if not self._tools:
            self._run.supports_tools = True  # none are sent
        given = Transcript(with_system(checked_messages(messages)[0], system))
        self._messages = given.finished
        self._pending: list[dict[str, Any]] | None = None
        if len(self._messages) < len(given.messages):
            self._pending = given.messages
        self._turn = threading.Lock()

    def _card(self) -> "Card":
        from executionkit._display._card import Card
        from executionkit._display._glimpse import provider_line
        from executionkit._display._line import rest_of

        card = Card(type(self).__name__, has_value=False, cost=self.usage)
        card.add("provider", shown := provider_line(self._run.innermost), shown)
        roles = [message["role"] for message in self._messages]
        # A user message right after tool results is a part of their turn.
        turns = sum(role == "user" and before != "tool" for before, role in pairwise(["", *roles]))
        card.count(turns, "turn")
        card.count(len(self._messages), "message")
        card.add("tools", ", ".join(tool.name for tool in self._tools))
        card.add("unfinished turn", self._pending is not None, "an unfinished turn")
        card.left = rest_of(self.left)
        return card

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """The conversation so far, whole turns only, as plain copies: the system message and all turns."""
        return tuple(plain(self._messages))

    @property
    def usage(self) -> TokenUsage:
        """Everything spent so far, failed and cancelled turns and tools that call a model included."""
        return self._run.usage

    @property
    def left(self) -> TokenUsage:
        """The rest of `max_cost`, as a budget: 0 is no limit, and a negative number means nothing is left."""
        return self._run.left

    async def send(self, prompt: Prompt, **options: Unpack[ReactOptions]) -> ReactResult:
        """Send a user message, and let the model call tools until it answers.

        Args:
            prompt: The user message: a text, or a list of texts and parts.
            **options: Parameters of `react_loop` for this turn, over those of the conversation.

        Returns:
            A `ReactResult`. Its `cost` is that of this turn, its `messages` the whole conversation.

        Raises:
            RuntimeError: A turn is under way.
            ExecutionKitError: The turn failed; see `react_loop`. `resume` goes on from where it was.
        """
        with self._alone():
            return await self._turn_from(prompt, self._messages, options)

    async def resume(
        self, *, approvals: Mapping[str, Approval | bool] | None = None, **options: Unpack[ReactOptions]
    ) -> ReactResult:
        """Go on with the turn that failed, was cancelled, or was put off as `ApprovalPending`.

        Tool calls that have no result yet are run first. A tool that was under way when the turn ended is
        run again. Results that were there already are used.

        Args:
            approvals: Answers for the calls that wait for approval, by their ids; see `react_loop`.
            **options: Parameters of `react_loop` for this turn, over those of the conversation.

        Raises:
            RuntimeError: There is no such turn, or a turn is under way.
            ExecutionKitError: The turn failed again; see `react_loop`.
        """
        with self._alone():
            if self._pending is None:
                raise RuntimeError("there is no turn to go on with: the last one ended, or none was begun")
            return await self._turn_from(None, self._pending, options, approvals)

    def stream(self, prompt: Prompt, **options: Unpack[ReactOptions]) -> TurnStream:
        """Send a user message, and receive the events of the turn as they happen.

        Example:
            ```python
            from executionkit import Conversation, MockProvider, TextDelta

            # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
            chat = Conversation(MockProvider(["Tea costs 3.20."]))
            async with chat.stream("What does tea cost?") as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        print(event.text, end="")
            assert events.result.rounds == 1
            ```

        Args:
            prompt: The user message: a text, or a list of texts and parts.
            **options: Parameters of `react_loop` for this turn, over those of the conversation.

        Returns:
            An async context manager, and an async iterator of each `PatternEvent`. The turn waits while an
            event is being dealt with. Leaving early cancels the turn. `result` has the `ReactResult` once the
            events have ended. An error of the turn is raised after its last event.
        """

        async def turn(on_event: EventCallback) -> ReactResult:
            also = options.get("on_event", self._options.get("on_event"))
            told = on_event if also is None else _both(on_event, also)
            return await self._turn_from(prompt, self._messages, {**options, "on_event": told})

        return TurnStream(self._alone, turn)

    @overload
    async def ask(
        self,
        prompt: Prompt,
        output: type[T] | OutputAdapter[T],
        *,
        validator: Validator[T] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[T]: ...
    @overload
    async def ask(
        self,
        prompt: Prompt,
        output: None = None,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[dict[str, Any] | list[Any]]: ...
    @overload
    async def ask(
        self,
        prompt: Prompt,
        output: Mapping[str, Any] | UnionType,
        *,
        validator: Validator[Any] | None = None,
        **options: Unpack[StructuredOptions],
    ) -> StructuredResult[Any]: ...
    async def ask(
        self, prompt: Prompt, output: Any = None, *, validator: Any = None, **options: Any
    ) -> StructuredResult[Any]:
        """Ask for the next answer as data; see `structured`. No tools are called.

        The prompt and the reply that was right become a turn of the conversation; attempts that were not, and
        the form of the reply, don't.

        Args:
            prompt: The user message: a text, or a list of texts and parts.
            output: The form of the value, as in `structured`.
            validator: A check that no type can express, as in `structured`.
            **options: Further parameters of `structured`. `retry`, `options`, `max_tokens` and `on_event` are
                the conversation's by default.

        Raises:
            RuntimeError: A turn is under way.
            ExecutionKitError: No reply was right; see `structured`. The conversation is as before.
        """
        for name in _HELD:
            if name in options and name != "max_cost":
                raise TypeError(f"ask() takes no {name}: it is set on the Conversation, for all turns")
        with self._alone():
            asked = Transcript(opening(prompt, self._messages, None), is_prompted=True)
            request, _ = asked.recent(self._options.get("max_history_messages"))
            options = {**{name: value for name, value in self._options.items() if name in _SHARED}, **options}
            # The type checkers can't see which of the overloads of `structured` is meant.
            result = await cast("Any", structured)(
                self._run, None, output, validator=validator, messages=request, **options
            )
            self._messages = [*asked.messages, {"role": "assistant", "content": result.text}]
            self._pending = None
            return cast("StructuredResult[Any]", result)

    def send_sync(self, prompt: Prompt, **options: Unpack[ReactOptions]) -> ReactResult:
        """`send` run to its end on an event loop of its own.

        Raises:
            RuntimeError: An event loop is running in this thread, or a turn is under way in another.
        """
        with runner_for("send") as runner:
            return runner.run(self.send(prompt, **options))

    def to_dict(self) -> dict[str, Any]:
        """The state as plain data, ready for `json.dumps`: messages and costs, no functions and no keys.

        Returns:
            `messages`; `pending`, the transcript that `resume` goes on from, or None; `usage`; and
            `estimated`, the tokens and dollars assumed for replies whose server reported none.
        """
        return {
            "messages": plain(self._messages),
            "pending": plain(self._pending),
            "usage": self.usage.to_dict(),
            "estimated": _as_usage(estimates_of(self._tracker)),
        }

    @classmethod
    def from_dict(
        cls,
        provider: LLMProvider,
        data: Mapping[str, Any],
        *,
        tools: Sequence[Toolable] = (),
        max_cost: TokenUsage | None = None,
        **options: Unpack[ReactOptions],
    ) -> Self:
        """Go on with a conversation from `to_dict`.

        Args:
            provider: As in the constructor.
            data: What `to_dict` returned. The system message is among its messages.
            tools: As in the constructor.
            max_cost: Maximum calls and tokens for the whole conversation. What was spent before counts.
            **options: As in the constructor.

        Raises:
            ValueError: `data` is not what `to_dict` returns.
        """
        state = an_object(plain(data)) or {}
        usage, estimated = an_object(state.get("usage")), an_object(state.get("estimated", {}))
        if usage is None or estimated is None or "messages" not in state:
            raise ValueError(f"data must be what Conversation.to_dict returned, got {brief(data)}")
        chat = cls(provider, tools=tools, messages=state["messages"], max_cost=max_cost, **options)
        if state.get("pending") is not None:
            chat._pending = checked_messages(state["pending"])[0] or None
        try:
            chat._tracker.add_usage(TokenUsage(**usage))
            before = TokenUsage(**estimated)
        except TypeError as exc:
            raise ValueError(f"data must be what Conversation.to_dict returned: {exc}") from None
        assumed = estimates_of(chat._tracker)
        # Negative amounts would allow more than the ceiling.
        assumed.input_tokens = max(0, before.input_tokens)
        assumed.output_tokens = max(0, before.output_tokens)
        assumed.usd = max(ZERO, before.usd or ZERO)
        return chat

    @contextmanager
    def _alone(self) -> Generator[None, None, None]:
        if not self._turn.acquire(blocking=False):
            raise RuntimeError(_UNDER_WAY)
        try:
            yield
        finally:
            self._turn.release()

    async def _turn_from(
        self,
        prompt: Prompt | None,
        messages: Messages,
        options: Mapping[str, Any],
        approvals: Mapping[str, Approval | bool] | None = None,
    ) -> ReactResult:
        _check_names("send", options)
        # The run is transparent; what it lacks, `react_loop` says.
        provider = cast("ToolCallingProvider", self._run)
        settings: Any = {**self._options, **options, "approvals": approvals}
        try:
            result: ReactResult = await react_loop(
                provider, prompt, self._tools, messages=messages, **settings
            )
        except BaseException as exc:
            # An error without a transcript was raised before the turn began.
            paid = an_object(getattr(exc, "metadata", None)) or {}
            if isinstance(transcript := paid.get("messages"), list):
                self._pending = plain(transcript)
            raise
        self._messages, self._pending = plain(list(result.messages)), None
        return result


def _as_usage(estimates: Tokens) -> dict[str, Any]:
    counted = {"input_tokens": estimates.input_tokens, "output_tokens": estimates.output_tokens}
    return {**counted, "usd": str(estimates.usd)} if estimates.usd else counted


_HELD: Final = ("max_cost", "system", "messages", "tools")
"""Parameters of the conversation, for all turns."""

_SHARED: Final = ("retry", "options", "max_tokens", "on_event")
"""Parameters of turns that `ask` takes over; its temperature is that of data."""


def _check_names(owner: str, options: Mapping[str, Any]) -> None:
    """Refuse keywords that are no parameters of `react_loop`, instead of ignoring them in every turn."""
    known = ReactOptions.__annotations__
    for name, value in options.items():
        if name not in known:
            if owner != "Conversation" and name in _HELD:
                raise TypeError(f"{owner}() takes no {name}: it is set on the Conversation, for all turns")
            if name in ("output", "output_type", "max_retries"):
                raise TypeError(f"{owner}() takes no {name}: a Conversation gives data by ask(prompt, T)")
            refuse_keyword(owner, name, value, (*known, *_HELD))
            raise TypeError(f"{owner}() got an unexpected keyword argument {name!r}")


def _both(first: EventCallback, second: EventCallback) -> EventCallback:
    checks.called_with("event", on_event=second)

    async def tell(event: PatternEvent) -> None:
        await cast("Awaitable[object]", first(event))
        outcome = second(event)
        if inspect.isawaitable(outcome):
            await outcome

    return tell
