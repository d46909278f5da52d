"""`structured`: an answer as a checked value, by whatever the server and the model can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, get_args, overload

from executionkit import _checks as checks
from executionkit._structured.outputs import OutputAdapter, Rung, SchemaMode, Validator
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ModeChoice: TypeAlias = Literal["auto", "json_schema", "json_object_schema", "json_object", "none"]
"""A server's mode for structured output; "auto" finds out."""


class StructuredOptions(TypedDict, total=False):
    """The keywords of `structured`, `validator` apart; see there."""

    max_retries: int
    temperature: float
    max_tokens: int
    max_cost: TokenUsage | None
    retry: RetryConfig | None
    schema_mode: ModeChoice
    max_tokens_limit: int | None


@dataclass(frozen=True)
class StructuredResult(PatternResult[T_co]):
    """The value asked for; `score` is None.

    Attributes:
        parse_attempts: Replies read: 1 when the first was what was asked for.
        repair_attempts: Askings after the first: with the errors, or with more room.
        validated: Whether a type, a schema or a validator has passed the value.
        mended: Whether slips in the reply's JSON were mended here, without asking again.
        truncated_responses: Replies cut off by `max_tokens`; nothing is read out of them.
        schema_mode: The server's mode in use at the end; "none" where it has none, or there is no schema.
        rung_costs: What was spent on the first asking ("ask"), on schema modes that the server refused
            ("fallback"), on asking with more room ("more_tokens"), on asking with the errors ("repair");
            together they are `cost`. Not in `metadata`.
    """

    parse_attempts: int = 0
    repair_attempts: int = 0
    validated: bool = False
    mended: bool = False
    truncated_responses: int = 0
    schema_mode: SchemaMode = "none"
    rung_costs: dict[Rung, TokenUsage] = field(
        default_factory=dict[Rung, TokenUsage], metadata={"mirrored": False}
    )


@overload
async def structured(
    provider: LLMProvider,
    prompt: str,
    output: type[T],
    *,
    validator: Validator[T] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[T]: ...
@overload
async def structured(
    provider: LLMProvider,
    prompt: str,
    output: OutputAdapter[T],
    *,
    validator: Validator[T] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[T]: ...
@overload
async def structured(
    provider: LLMProvider,
    prompt: str,
    output: None = None,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[dict[str, Any] | list[Any]]: ...
@overload
async def structured(
    provider: LLMProvider,
    prompt: str,
    output: Mapping[str, Any] | UnionType,
    *,
    validator: Validator[Any] | None = None,
    **options: Unpack[StructuredOptions],
) -> StructuredResult[Any]: ...
async def structured(
    provider: LLMProvider,
    prompt: str,
    output: object = None,
    *,
    validator: Validator[Any] | None = None,
    max_retries: int = 3,
    temperature: float = 0.0,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
    schema_mode: ModeChoice = "auto",
    max_tokens_limit: int | None = None,
) -> StructuredResult[Any]:
    """Ask for an answer as data, and see to it that the data is what was asked for.

    A ladder, on one budget: the server's own schema mode where it has one (one that it refuses is given up,
    and remembered for this provider and schema); JSON found in the reply; slips mended here, if `json-repair`
    is installed and the mended text says the same; more room when the reply was cut off; asking again with
    the place and reason of each error. Nothing is read out of a reply that was cut off.

    Example:
        ```python
        from dataclasses import dataclass

        from executionkit import MockProvider, structured


        @dataclass
        class Film:
            title: str
            year: int


        provider = MockProvider(
            ['{"title": "Metropolis"}', '{"title": "Metropolis", "year": 1927}']
        )
        result = await structured(
            provider, "Which film of Fritz Lang has a robot in it?", Film
        )
        assert (result.value.year, result.repair_attempts) == (1927, 1)
        ```

    Args:
        provider: What answers.
        prompt: The task; what form the reply must have is added to it.
        output: What the value must be: a pydantic model, a dataclass, a TypedDict or any other type that
            pydantic's TypeAdapter takes, or a TypeAdapter (all need the extra `pydantic`); a JSON Schema; or
            None for any object or array.
        validator: `(value)`, async or plain, for what no type can say. None, True or "" accepts the value,
            False or a text rejects it, the text being the reason the model is told. So is the message of an
            exception, except of the library's own, which go through.
        max_retries: How often to ask again at the most; 0 asks once.
        temperature: Sampling temperature in [0, 2].
        max_tokens: The most tokens the first reply may have; at least 1.
        max_cost: The ceiling for all of it; None is no limit.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.
        schema_mode: The server's mode to use: "json_schema", "json_object_schema" (a json_object with the
            schema beside it), "json_object" or "none". "auto" tries them in this order until one is taken;
            a request that is refused costs a call, no tokens.
        max_tokens_limit: The most tokens a reply may have after others were cut off, each time twice as
            many; at least `max_tokens`, None is four times that.

    Returns:
        The value. `metadata` keys: `parse_attempts`, `repair_attempts`, `validated`, `mended`,
        `truncated_responses`, `schema_mode`.

    Raises:
        ValueError: A parameter is out of range, or `output` can't be checked; nothing was called.
        ImportError: `output` is a type and pydantic is not installed; nothing was called.
        TypeError: The validator returned something else than it may.
        PatternError: No reply was what was asked for.
        BudgetExhaustedError: The budget ran out before one was.
        LLMError: A call failed for good.

    Every error has `.metadata["last_text"]` and `["errors"]`, the last reply and what is wrong with it, and
    `["parse_attempts"]`, `["repair_attempts"]`, `["validated"]`, `["truncated_responses"]` and
    `["rung_costs"]` (usage as dicts).
    """
    from executionkit._structured.attempts import Attempts
    from executionkit._structured.modes import MEMORY, MODES
    from executionkit._structured.outputs import output_for

    checks.text(prompt=prompt)
    checks.at_least(0, max_retries=max_retries)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    checks.one_of(get_args(ModeChoice), schema_mode=schema_mode)
    if max_tokens_limit is not None:
        checks.at_least(max_tokens, max_tokens_limit=max_tokens_limit)
    if validator is not None and not callable(validator):
        raise ValueError(f"validator must be a callable or None, got {validator!r}")
    attempts = Attempts(
        output_for(output),
        validator,
        temperature=temperature,
        max_tokens=max_tokens,
        max_tokens_limit=max_tokens * 4 if max_tokens_limit is None else max_tokens_limit,
        max_retries=max_retries,
        mode="none",
        is_fixed=schema_mode != "auto",
    )
    async with Run("structured", provider, max_cost=max_cost, retry=retry, salvage=attempts.salvage) as run:
        schema = attempts.output.schema
        if schema is not None:
            known = MEMORY.recall(run.target, schema) if schema_mode == "auto" else schema_mode
            attempts.mode = known or MODES[0]
        value = await attempts.make(prompt, run)
        return StructuredResult(
            value=value,
            cost=run.usage,
            parse_attempts=attempts.parse_attempts,
            repair_attempts=attempts.repair_attempts,
            validated=schema is not None or validator is not None,
            mended=attempts.mended,
            truncated_responses=attempts.truncated_responses,
            schema_mode=attempts.mode,
            rung_costs=dict(attempts.rung_costs),
        )
