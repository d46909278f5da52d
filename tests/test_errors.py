"""The error tree: what each error is, what it carries, and that copies carry it too."""

import copy
import pickle
from typing import Any

import pytest

import executionkit
from executionkit import (
    ApprovalPending,
    BudgetExhaustedError,
    ConsensusFailedError,
    ExecutionKitError,
    JournalError,
    LLMError,
    MaxIterationsError,
    PatternError,
    PermanentError,
    ProviderError,
    RateLimitError,
    TokenUsage,
    ToolError,
)

TREE: dict[type[ExecutionKitError], type[Exception]] = {
    ExecutionKitError: Exception,
    LLMError: ExecutionKitError,
    RateLimitError: LLMError,
    PermanentError: LLMError,
    ProviderError: LLMError,
    JournalError: ExecutionKitError,
    PatternError: ExecutionKitError,
    ApprovalPending: PatternError,
    BudgetExhaustedError: PatternError,
    ConsensusFailedError: PatternError,
    MaxIterationsError: PatternError,
}
ALL = list(TREE)
FROM_THE_WIRE: list[Any] = [LLMError, RateLimitError, PermanentError, ProviderError]


@pytest.mark.parametrize("kind", ALL)
def test_each_error_has_one_parent(kind: type[ExecutionKitError]) -> None:
    assert kind.__bases__ == (TREE[kind],)


def test_the_tree_is_all_there_is() -> None:
    public = [getattr(executionkit, name) for name in vars(executionkit)["__all__"]]
    errors = {thing for thing in public if isinstance(thing, type) and issubclass(thing, BaseException)}
    assert errors == {*ALL, ToolError}


def test_a_tools_error_is_not_one_of_ours() -> None:
    assert not issubclass(ToolError, ExecutionKitError)
    assert str(ToolError("no such file")) == "no such file"


@pytest.mark.parametrize("kind", ALL)
def test_an_error_costs_nothing_and_knows_nothing_by_default(kind: type[ExecutionKitError]) -> None:
    error = kind("what happened")
    assert str(error) == "what happened"
    assert error.args == ("what happened",)
    assert error.cost == TokenUsage()
    assert error.metadata == {}
    assert str(kind()) == ""


@pytest.mark.parametrize("kind", ALL)
def test_an_error_carries_cost_and_metadata(kind: type[ExecutionKitError]) -> None:
    facts = {"responses": ["a"]}
    error = kind("x", cost=TokenUsage(1, 2, 3), metadata=facts)
    assert error.cost == TokenUsage(1, 2, 3)
    assert error.metadata == facts
    error.metadata["more"] = 1
    assert facts == {"responses": ["a"]}
    assert kind("x").metadata == {}


@pytest.mark.parametrize("kind", ALL)
def test_everything_but_the_message_is_named(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind("x", TokenUsage())


@pytest.mark.parametrize("kind", FROM_THE_WIRE)
def test_an_error_from_the_wire_carries_what_the_server_said(kind: Any) -> None:
    error = kind(
        "x", status_code=429, retry_after=2.5, code="rate_limit_exceeded", request_id="r1", dispatched=False
    )
    assert (error.status_code, error.retry_after, error.code) == (429, 2.5, "rate_limit_exceeded")
    assert (error.request_id, error.dispatched) == ("r1", False)


@pytest.mark.parametrize("kind", FROM_THE_WIRE)
def test_the_server_may_have_said_nothing(kind: Any) -> None:
    error = kind("x")
    assert (error.status_code, error.code, error.request_id, error.dispatched) == (None, None, None, True)
    assert error.retry_after == (1.0 if kind is RateLimitError else None)


FULL: list[Exception] = [
    *(kind("what happened", cost=TokenUsage(1, 2, 3), metadata={"responses": ["a", "b"]}) for kind in ALL),
    *(
        kind("x", status_code=503, retry_after=7.5, code="c", request_id="r", dispatched=False)
        for kind in FROM_THE_WIRE
    ),
    ToolError("no such file"),
]


class Custom(ProviderError):
    """A user's own, with a field of its own."""

    def __init__(self, message: str = "", *, region: str = "eu", **facts: Any) -> None:
        super().__init__(message, **facts)
        self.region = region


FULL.append(Custom("x", region="us", status_code=500, cost=TokenUsage(llm_calls=1)))


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: Exception) -> None:
    error.add_note("also failed: something")
    twins = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, 6)]
    for twin in [*twins, copy.copy(error), copy.deepcopy(error)]:
        assert type(twin) is type(error)
        assert twin.args == error.args
        assert vars(twin) == vars(error)
        assert "also failed: something" in twin.__notes__


def test_an_unpickled_error_is_caught_like_the_first() -> None:
    error = pickle.loads(pickle.dumps(RateLimitError("slow down", retry_after=3)))
    with pytest.raises(LLMError, match="slow down") as caught:
        raise error
    assert caught.value.retry_after == 3


def test_a_deep_copy_has_its_own_metadata() -> None:
    error = PatternError("x", metadata={"responses": ["a"]})
    copy.deepcopy(error).metadata["responses"].append("b")
    assert error.metadata == {"responses": ["a"]}
