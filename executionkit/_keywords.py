"""Keywords that a function does not take: misspelt ones, and those that mean something elsewhere."""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar, cast

from executionkit._warning import warn_the_caller
from executionkit.types import TokenUsage

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])

CEILINGS: Final = ("max_cost", "max_budget")


def checked_keywords(pattern: F) -> F:
    """Decorate an async function so that it names the right word for a keyword that it does not take.

    Any other unknown keyword is Python's own TypeError.
    """
    known = _parameters(pattern)

    @wraps(pattern)
    async def checked(*args: Any, **kwargs: Any) -> Any:
        for name in () if kwargs.keys() <= known else kwargs:
            if name not in known:
                refuse_keyword(pattern.__name__, name, kwargs[name], known)
        return await pattern(*args, **kwargs)

    return cast("F", checked)


def ignore_keywords(function: Callable[..., object], given: Mapping[str, object]) -> None:
    """Warn of keywords that ended in the `**_` of a function, and refuse those that it must not ignore."""
    for name, value in given.items():
        refuse_keyword(function.__name__, name, value, _parameters(function))
        warn_the_caller(f"{function.__name__}: the keyword {name!r} is ignored")


def _parameters(function: Callable[..., object]) -> frozenset[str]:
    code = function.__code__
    return frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def refuse_keyword(owner: str, given: str, value: object, known: Iterable[str]) -> None:
    """Raise a TypeError for a keyword that is nearly one of `known`, or that has a meaning elsewhere.

    Ignoring a ceiling or an approval that the caller asked for would be dangerous.
    """
    is_ceiling = isinstance(value, TokenUsage)
    names = list(known)
    # A word of another library goes first: `approval_gate` is nearer to `approvals` than to `approve`.
    elsewhere, advice = _advice("budget" if is_ceiling else given, names)
    near = [name for name in names if name in CEILINGS] if is_ceiling else names
    meant = elsewhere or nearest(given, near)
    hint = f"did you mean {meant!r}?" if meant else advice
    if hint:
        raise TypeError(f"{owner}() got an unexpected keyword argument {given!r}; {hint}")


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The name that a keyword is a misspelling of, if there is one."""
    import difflib  # not at the top: only mistakes need it

    names = {_folded(name): name for name in known}
    near = difflib.get_close_matches(_folded(given), names, n=1, cutoff=0.8)
    return names[near[0]] if near else None


def _folded(name: str) -> str:
    """A keyword in a form in which `maxCosts` and `max_cost` are the same."""
    return name.replace("_", "").lower().removesuffix("s")


def _advice(given: str, known: Iterable[str]) -> tuple[str | None, str]:
    """For a keyword of other libraries our own name of it, or advice; None and "" if it is not known."""
    from fnmatch import fnmatchcase  # not at the top: only mistakes need it

    names = {*known}
    if "tiers" in names and given in _OF_TIERS:
        return None, _on_each_tier(given)
    for words, ours, advice in _ELSEWHERE:
        if any(fnmatchcase(_folded(given), _folded(word)) for word in words.split()):
            meant = next((name for name in ours.split() if name in names), None)
            if "tiers" in names and ours in _OF_TIERS:
                return None, _on_each_tier(ours)
            if meant == "options":
                return None, "did you mean 'options'? It holds the fields of a request: options={'seed': 1}"
            budget = "max_budget" if "max_budget" in names else "max_cost"
            return meant, advice.format(budget=budget)
    return None, ""


_OF_TIERS: Final = ("num_samples", "agreement", "temperature", "max_tokens")
"""Keywords of other patterns that a cascade takes from each of its tiers."""


def _on_each_tier(name: str) -> str:
    return f"each tier has its own: Tier(provider, {name}=...)"


# Keywords of Pydantic AI, the OpenAI SDKs, LangChain, LangGraph, DSPy, smolagents, CrewAI, Instructor and the
# chat completions API. Beside them our names, of which the function may have one; else the advice.
_ELSEWHERE: Final = (
    (
        "max_turns max_steps max_iterations max_iters max_iter max_rounds max_loops max_hops "
        "recursion_limit rounds turns steps iterations num_rounds num_steps step_limit turn_limit "
        "max_consecutive_auto_reply",
        "max_rounds max_iterations",
        "limit the calls with {budget}=TokenUsage(llm_calls=...)",
    ),
    (
        "max_calls max_llm_calls llm_calls max_requests request_limit call_limit max_tool_calls "
        "tool_calls_limit max_model_calls",
        "",
        "limit the calls with {budget}=TokenUsage(llm_calls=...)",
    ),
    (
        "*budget* *spend* *usd* *dollar* *price* max_cost cost cost_limit usage usage_limits max_usage limits"
        " quota ceiling token_limit max_total_tokens total_tokens_limit max_input_tokens input_tokens_limit "
        "output_tokens_limit",
        "",
        "set a ceiling with {budget}=TokenUsage(input_tokens=..., output_tokens=..., llm_calls=...)",
    ),
    (
        "max_output_tokens max_completion_tokens max_new_tokens max_gen_tokens max_length num_predict "
        "n_predict",
        "max_tokens",
        "",
    ),
    (
        "*approv* *confirm* *permission* *human* *interrupt* *guardrail* hitl ask_user can_use_tool "
        "before_tool* ask ask_* tool_filter* allow_tool* deny_tool* dry_run sandbox read_only",
        "approve",
        "react_loop(approve=...) asks before a tool runs that has needs_approval",
    ),
    (
        "messages message history message_history chat_history conversation conversation_history "
        "conversation_id thread thread_id session session_id memory checkpointer previous_response_id chat",
        "messages",
        "the prompt is sent as one user message: write the earlier turns into it, or have a provider add "
        "them",
    ),
    (
        "system system_prompt system_message instructions developer developer_message developer_prompt role "
        "persona preamble prompt_prefix backstory goal",
        "system",
        "there is no system message: begin the prompt with it, or have a provider around yours add it",
    ),
    (
        "functions toolset toolsets tool_list builtin_tools",
        "tools",
        "",
    ),
    (
        "tool_choice force_tool required_tools required_tool tool_config function_call "
        "function_choice_behavior tool_use_behavior",
        "tool_choice",
        "only react_loop has tools, and a tool_choice",
    ),
    (
        "disable_parallel_tool_use parallel_tools parallel_tool_calls parallel_function_calls",
        "parallel_tool_calls",
        "only react_loop has tools, and parallel_tool_calls",
    ),
    (
        "on_limit on_max_* on_budget early_stopping_method final_answer_on_limit answer_on_limit",
        "on_limit on_budget",
        "only react_loop answers at a limit (on_limit)",
    ),
    (
        "max_repeats max_same_calls max_repeated_calls loop_detection repeat_limit",
        "max_repeats",
        "",
    ),
    (
        "allowed_tools disallowed_tools prepare_tools mcp_servers handoffs",
        "",
        "the model chooses among `tools`: give it only those that it may call",
    ),
    (
        "output output_type output_schema output_model output_format output_class output_cls output_mode "
        "output_pydantic output_json result_type result_schema response_format response_model "
        "response_schema response_type json_schema json_mode text_format schema",
        "output",
        "the value is text: use structured(..., output=...) for data",
    ),
    (
        "timeout request_timeout read_timeout max_time max_seconds max_execution_time deadline time_limit",
        "",
        "limit the whole run with asyncio.timeout(), and each request with Provider(timeout=...)",
    ),
    (
        "stop stop_at stop_on stop_when stop_if stop_condition stop_criteria stopping_criteria until "
        "termination_condition early_stopping",
        "stop options",
        "put stop sequences into Provider(extra_body={{'stop': [...]}})",
    ),
    (
        "model model_name model_id llm client deployment deployment_name api_key base_url api_base",
        "",
        "set it on the provider: Provider(base_url, model, api_key=...)",
    ),
    (
        "seed top_p top_k min_p frequency_penalty presence_penalty repetition_penalty logprobs top_logprobs "
        "stop_sequence* stop_words logit_bias reasoning reasoning_effort thinking verbosity prompt_cache_key "
        "extra_body extra_headers model_settings sampling_params request_params model_params "
        "model_kwargs llm_config generation_config service_tier extra_query",
        "options",
        "set it on the provider: Provider(..., extra_body={{...}}, headers={{...}})",
    ),
    (
        "stream streaming stream_mode on_token on_delta token_callback event_stream_handler",
        "on_event",
        "stream a single answer with Kit.stream",
    ),
    (
        "callback callbacks callback_handler callback_manager hook hooks run_hooks on_step on_message "
        "on_tool_call on_tool_start on_tool_end step_callback step_callbacks event_handler event_callback "
        "listener observers",
        "on_event",
        "patterns report events (on_event)",
    ),
    (
        "n k samples n_samples num_candidates num_generations num_choices num_return_sequences best_of",
        "num_samples",
        "",
    ),
    (
        "prompts phrasings paraphrases rephrasings wordings prompt_variants prompt_variations",
        "variants",
        "",
    ),
    (
        "retries num_retries retry_policy retry_config max_attempts attempts tries backoff max_retries",
        "",
        "set retry=RetryConfig(max_retries=...)",
    ),
    (
        "concurrency concurrency_limit max_concurrent max_workers num_workers num_threads n_jobs "
        "max_parallel parallelism max_parallel_calls",
        "max_concurrency",
        "",
    ),
    (
        "scorer score_fn reward reward_fn reward_model judge metric grader critic evaluate eval_fn "
        "evaluators scoring_function verifier criteria rubric",
        "evaluator",
        "",
    ),
    (
        "validators validate output_validator validation_fn check",
        "validator",
        "",
    ),
    (
        "threshold target min_score score_threshold target_threshold",
        "target_score",
        "",
    ),
    (
        "temp",
        "temperature",
        "",
    ),
    (
        "question query task user_prompt user_input user_message input input_text",
        "prompt inputs",
        "",
    ),
    (
        "extractor answer_extractor extract parser normalize",
        "key",
        "",
    ),
    (
        "max_history history_limit max_messages message_limit trim",
        "max_history_messages",
        "",
    ),
)
