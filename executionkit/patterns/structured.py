"""`structured`: an answer as a checked value, by whatever the server and the model can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, get_args, overload

from executionkit import _checks as checks
from executionkit._keywords import checked_keywords
from executionkit._opening import Messages, opening
from executionkit._output import OutputAdapter, Rung, SchemaMode, Validator
from executionkit._prompt import Prompt
from executionkit._text import describe
from executionkit.engine.retry import RetryConfig
from executionkit.errors import ProviderError
from executionkit.events import EventCallback
from executionkit.patterns._options import Options
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ModeChoice: TypeAlias = Literal["auto", "json_schema", "json_object_schema", "json_object", "none"]
"""A server's mode for structured output. "auto" finds the best one that the server accepts."""


class StructuredOptions(TypedDict, total=False):
    """Keyword parameters of `structured`, except `validator`."""

    max_retries: int
    temperature: float
    max_tokens: int
    max_cost: TokenUsage | None
    retry: RetryConfig | None
    schema_mode: ModeChoice
    max_tokens_limit: int | None
    options: Options | None
    messages: Messages | None
    system: str | None
    on_event: EventCallback | None


@dataclass(frozen=True)
class StructuredResult(PatternResult[T_co]):
    """The value asked for. `score` is None.

    Attributes:
        parse_attempts: Number of replies read. 1 means that the first one was right.
        repair_attempts: Number of requests after the first one, with the errors or with more room.
        validated: Whether the value passed a type, a schema or a validator.
        mended: Whether slips in the reply's JSON were mended without a further request.
        truncated_responses: Replies cut off by `max_tokens`. No value is read from them.
        schema_mode: The server's mode in use at the end; "none" if it has none or there is no schema.
        callback_errors: How often `on_event` raised an exception.
        rung_costs: Cost of the first request ("ask"), of schema modes and system messages that the server
            refused ("fallback"), of requests with more room ("more_tokens") and of requests with the errors
            ("repair"). The sum is `cost`. Not in `metadata`.
        text: The reply that the value was read from. Not in `metadata`.
    """

    parse_attempts: int = 0
    repair_attempts: int = 0
    validated: bool = False
    mended: bool = False
    truncated_responses: int = 0
    schema_mode: SchemaMode = "none"
    callback_errors: int = 0
    rung_costs: dict[Rung, TokenUsage] = field(
        default_factory=dict[Rung, TokenUsage], metadata={"mirrored": False}
    )
    text: str = field(default="", metadata={"mirrored": False})

    def _describe(self, card: "Card") -> None:
        from executionkit._display._card import Entry, Fold
        from executionkit._display._line import spent

        card.add("replies read", self.parse_attempts)
        card.count(self.repair_attempts, "further request")
        card.add("validated", self.validated)
        card.add("mended", self.mended, "mended")
        card.add("truncated", self.truncated_responses)
        card.add("schema mode", self.schema_mode if self.schema_mode != "none" else "")
        if len(self.rung_costs) > 1:
            for rung, cost in self.rung_costs.items():
                card.add(f"cost of {rung}", spent(cost) if cost.llm_calls else "")
        card.folds.append(Fold("Reply", 1 if self.text else 0, [Entry("", self.text)]))


@overload
async def structured(
    provider: LLMProvider,
    prompt: Prompt | None,
    output: type[T] | OutputAdapter[T],
    *,
    validator: Validator[T] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[T]: ...
@overload
async def structured(
    provider: LLMProvider,
    prompt: Prompt | None,
    output: None = None,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[dict[str, Any] | list[Any]]: ...
@overload
async def structured(
    provider: LLMProvider,
    prompt: Prompt | None,
    output: Mapping[str, Any] | UnionType,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[Any]: ...
@checked_keywords
async def structured(
    provider: LLMProvider,
    prompt: Prompt | None,
    output: object = None,
    *,
    validator: Validator[Any] | None = None,
    max_retries: int = 3,
    temperature: float = 0.0,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    retry: RetryConfig | None = None,
    schema_mode: ModeChoice = "auto",
    max_tokens_limit: int | None = None,
    messages: Messages | None = None,
    system: str | None = None,
    on_event: EventCallback | None = None,
) -> StructuredResult[Any]:
    """Ask for an answer as data, and return a value that has been checked.

    Each step is tried only if the one before is not enough, all on one budget: the server's own schema mode;
    JSON found in the reply; slips mended here, if they leave one reading only; more room if the reply was
    cut off; a request with the place and reason of each error. No value is read from a reply that was cut
    off.

    Example:
        ```python
        from dataclasses import dataclass

        from executionkit import MockProvider, structured


        @dataclass
        class Film:
            title: str
            year: int


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(
            ['{"title": "Metropolis"}', '{"title": "Metropolis", "year": 1927}']
        )
        result = await structured(provider, "A film by Fritz Lang with a robot?", Film)
        assert result.value == Film("Metropolis", 1927)
        assert result.repair_attempts == 1
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `LLMProvider`.
        prompt: The task: a text, or a list of texts and parts such as pictures. It is sent as a user message
            after `messages`; None goes on from `messages` as they stand.
            The form that the reply must have stands first, in a system message, or at the beginning of the
            first user message if the server refuses system messages. That is remembered for this provider;
            the refused request costs one call and no tokens.
        output: The form of the value: a pydantic model, a dataclass, a TypedDict or any other type that
            pydantic's TypeAdapter accepts, or a TypeAdapter (these need the extra `pydantic`); or a JSON
            Schema as a mapping. Defaults to any JSON object or array.
        validator: A check that no type can express: a function of the value, sync or async. It accepts by
            returning None, True or "". It rejects by returning False or a text, or by raising. The model is
            sent the text or the exception's message. An error of this library is raised unchanged.
        max_retries: Maximum number of requests after the first one; 0 sends one request.
        temperature: Sampling temperature, in [0, 2].
        max_tokens: Maximum tokens in the first reply; at least 1.
        max_cost: Maximum calls and tokens for all requests, retries included. Defaults to no limit.
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. Defaults to none.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        schema_mode: The server's mode to use: "json_schema", "json_object_schema" (`json_object` with the
            schema beside it), "json_object" or "none". A mode that is named is used, or the call fails.
            "auto" tries them in this order. It gives up a mode when the server refuses it, and remembers that
            for this provider and schema, but not what may have been a fault of the moment. A refused request
            costs one call and no tokens, and is not retried.
        max_tokens_limit: Maximum tokens in a reply after earlier ones were cut off; at least `max_tokens`.
            The room doubles each time. Defaults to four times `max_tokens`.
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Defaults to none.
        system: The system message, sent first; the form of the reply follows it in the same message. It must
            be None if `messages` begin with a system or developer message. Defaults to none.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: the beginning,
            each reply that is rejected, the end. It is called with one event at a time, and the pattern waits
            for it. An exception that it raises is logged and counted. Defaults to none.

    Returns:
        A `StructuredResult`, which explains the `metadata` keys: `parse_attempts`, `repair_attempts`,
        `validated`, `mended`, `truncated_responses`, `schema_mode`, `callback_errors`.

    Raises:
        ValueError: A parameter is out of range, `output` can't be checked, or `messages` can't be sent. No
            call was made.
        ImportError: `output` is a type and pydantic is not installed. No call was made.
        TypeError: The validator returned something that neither accepts nor rejects.
        PatternError: No reply was what was asked for. The message has the last errors.
        BudgetExhaustedError: The budget ran out before a reply was right.
        LLMError: A call failed for good.

    Every error has the last reply in `.metadata["last_text"]` and its faults in `["errors"]`, and beside them
    `["parse_attempts"]`, `["repair_attempts"]`, `["validated"]`, `["truncated_responses"]` and
    `["rung_costs"]` (as dicts).
    """
    try:
        from executionkit._output import output_for
        from executionkit._refusals import NO_SYSTEM_MESSAGES
        from executionkit._schema_modes import MEMORY, MODES
        from executionkit.patterns._narrator import Narrator
        from executionkit.patterns._options import checked_options
        from executionkit.patterns._structured_attempts import Attempts
    except OSError as exc:  # no descriptor is left to read these modules with
        why = f"structured: its own modules can't be read ({describe(exc)})"
        raise ProviderError(why, dispatched=False) from exc

    conversation = opening(prompt, messages, system)
    checks.at_least(0, max_retries=max_retries)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    checks.one_of(get_args(ModeChoice), schema_mode=schema_mode)
    if max_tokens_limit is not None:
        checks.at_least(max_tokens, max_tokens_limit=max_tokens_limit)
    checks.called_with("value", validator=validator)
    narrator = Narrator("structured", on_event)
    attempts = Attempts(
        output_for(output),
        validator,
        temperature=temperature,
        max_tokens=max_tokens,
        max_tokens_limit=max_tokens * 4 if max_tokens_limit is None else max_tokens_limit,
        max_retries=max_retries,
        mode="none",
        is_fixed=schema_mode != "auto",
        options=checked_options(options),
        narrator=narrator,
    )
    async with narrator.run(
        provider, None, max_cost=max_cost, retry=retry, salvage=attempts.salvage, is_dialogue=True
    ) as run:
        attempts.is_without_system = NO_SYSTEM_MESSAGES.recall(run.target, "") is True
        schema = attempts.output.schema
        if schema is not None:
            known = MEMORY.recall(run.target, schema) if schema_mode == "auto" else schema_mode
            attempts.mode = known or MODES[0]
        value = await attempts.make(conversation, run)
        result = StructuredResult(
            value=value,
            cost=run.usage,
            parse_attempts=attempts.parse_attempts,
            repair_attempts=attempts.repair_attempts,
            validated=schema is not None or validator is not None,
            mended=attempts.mended,
            truncated_responses=attempts.truncated_responses,
            schema_mode=attempts.mode,
            callback_errors=narrator.errors,
            rung_costs=dict(attempts.rung_costs),
            text=attempts.last_text or "",
        )
        return run.shows(result)
