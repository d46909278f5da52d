"""`run_many_on_ray` against a stand-in for Ray; `scripts/ray_trial.py` runs it on Ray itself."""

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_ray import FakeRay

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    MockProvider,
    PatternError,
    PatternResult,
    PermanentError,
    Provider,
    TokenUsage,
    consensus,
)
from executionkit.many import JournalError, ManyResult, RateLimits
from executionkit.many.ray import RayResult, run_many_on_ray

ROWS = [{"id": f"r{number}", "text": f"text {number}"} for number in range(30)]


class Model(MockProvider):
    """Counts what is asked; from a call on, it runs `then` instead of answering."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.limit = 10**9
        self.then: Any = None

    async def complete(self, messages: Any, **options: Any) -> LLMResponse:
        self.asked.append(str(messages[-1]["content"]))
        if len(self.asked) > self.limit:
            await self.then()
        await asyncio.sleep(0.001)
        return LLMResponse("good", usage={"prompt_tokens": 5, "completion_tokens": 1})


async def label(provider: Any, row: dict[str, str]) -> PatternResult[str]:
    return await consensus(provider, f"Label {row['text']}", num_samples=3)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    yield fake
    fake.close()


def start(model: Any, journal: Path, rows: Any = ROWS, **options: Any) -> RayResult:
    given: dict[str, Any] = {"id": "id", "rows_per_shard": 10, "num_actors": 2, "max_rows": 4, **options}
    return run_many_on_ray(model, rows, label, journal=journal, **given)


def test_all_shards_are_done_once(ray: FakeRay, tmp_path: Path) -> None:
    model, told = Model(), list[ManyResult]()
    result = start(model, tmp_path / "j", iter(ROWS), on_shard=told.append)
    assert str(result) == "30 rows: 30 done; 90 calls, 450 + 90 tokens"
    assert (sorted(result.shards), len(told), result.deaths) == ([0, 1, 2], 3, 0)
    assert {row["id"]: row["index"] for row in result.outcomes()} == {f"r{n}": n for n in range(30)}
    again = start(model, tmp_path / "j")
    assert len(model.asked) == 90
    assert (again.skipped, again.cost, again.cost_now) == (30, result.cost, TokenUsage())
    assert len(ray.actors) == 6  # two workers and a coordinator at each start


def test_a_dead_workers_shards_go_on_elsewhere(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()

    async def die() -> None:
        model.limit = 10**9
        ray.kill(ray.actors[1])  # the first is the coordinator

    model.limit, model.then = 40, die
    result = start(model, tmp_path / "j")
    assert (result.done, result.failed, result.deaths) == (30, 0, 1)
    assert 90 <= len(model.asked) <= 90 + 64
    assert result.cost.llm_calls == len(model.asked)


def test_a_shard_that_kills_every_worker_stops_the_job(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()

    async def die() -> None:
        for actor in ray.actors[1:]:
            ray.loop.call_soon(ray.kill, actor)
        await asyncio.Event().wait()

    model.limit, model.then = 0, die
    with pytest.raises(PatternError, match="3 workers died on shard 0"):
        start(model, tmp_path / "j", num_actors=1, rows_per_shard=100)


def test_the_end_of_the_coordinator_is_the_end_of_the_job(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()

    async def die() -> None:
        model.limit = 10**9
        ray.kill(ray.actors[0])

    model.limit, model.then = 40, die
    with pytest.raises(PatternError, match="the coordinator of the job is gone"):
        start(model, tmp_path / "j", max_cost=TokenUsage(llm_calls=1000))
    assert start(model, tmp_path / "j").done == 30
    assert len(model.asked) == 90


def test_the_budget_is_that_of_all_workers_and_starts(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()
    for ceiling in (50, 60):
        with pytest.raises(BudgetExhaustedError, match=f"of {ceiling} llm_calls spent") as caught:
            start(model, tmp_path / "j", max_cost=TokenUsage(llm_calls=ceiling))
        assert ceiling - 9 <= len(model.asked) <= ceiling
        assert caught.value.cost.llm_calls == len(model.asked)
        assert caught.value.metadata["failed"] == 0
    assert start(model, tmp_path / "j").done == 30
    assert len(model.asked) == 90


def test_an_error_of_all_rows_is_raised_with_its_bill(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()

    async def refuse() -> None:
        raise PermanentError("no such key", status_code=401)

    model.limit, model.then = 30, refuse
    with pytest.raises(PermanentError, match="no such key") as caught:
        start(model, tmp_path / "j")
    assert caught.value.cost.llm_calls == len(model.asked) < 90
    assert caught.value.metadata["done"] >= 1
    assert caught.value.metadata["journal"] == tmp_path / "j"


def test_what_is_in_flight_comes_home_when_the_program_is_interrupted(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()

    def interrupt(_: ManyResult) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        start(model, tmp_path / "j", on_shard=interrupt)
    assert "start again to go on" in str(caught.value.__notes__)
    assert start(model, tmp_path / "j").done == 30
    assert len(model.asked) == 90


def test_rows_that_raise_end_the_job_with_their_error(ray: FakeRay, tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, str]]:
        yield from ROWS[:15]
        raise OSError("the table is gone")

    with pytest.raises(OSError, match="the table is gone"):
        start(Model(), tmp_path / "j", broken())


def test_functions_give_the_rows_of_a_shard_in_the_worker(ray: FakeRay, tmp_path: Path) -> None:
    model = Model()
    result = start(
        model, tmp_path / "j", [lambda: ROWS[:7], lambda: iter(ROWS[7:])], limits=RateLimits(60_000)
    )
    assert {shard: each.rows for shard, each in result.shards.items()} == {0: 7, 1: 23}


def test_a_directory_belongs_to_one_job(ray: FakeRay, tmp_path: Path) -> None:
    start(Model(), tmp_path / "j", ROWS[:5])
    with pytest.raises(JournalError, match="rows_per_shard=10, and now it is 20"):
        start(Model(), tmp_path / "j", rows_per_shard=20)
    with pytest.raises(JournalError, match="begun with other rows"):
        start(Model(), tmp_path / "j", ROWS[1:6])
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "photo.png").touch()
    with pytest.raises(JournalError, match="not empty"):
        start(Model(), tmp_path / "k")


def test_a_key_is_found_where_the_worker_runs(
    ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider("http://127.0.0.1:9/v1", "m", api_key="sk-secret")
    with pytest.raises(ValueError, match="api_key, which are not sent"):
        start(provider, tmp_path / "j")
    with pytest.raises(ValueError, match="'env:NAME' or a function") as caught:
        start(provider, tmp_path / "j", key="sk-secret")
    assert "sk-secret" not in str(caught.value)
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(PatternError, match="SOME_KEY is not set on"):
        start(provider, tmp_path / "j", key="env:SOME_KEY")
    model = Model()
    assert start(lambda: model, tmp_path / "k", ROWS[:2]).done == 2
    with pytest.raises(ValueError, match="it can give the key itself"):
        start(lambda: model, tmp_path / "k", key="env:SOME_KEY")


def test_what_is_no_table_of_rows_is_refused(ray: FakeRay, tmp_path: Path) -> None:
    for rows in (
        "a text",
        {"a": 1},
        None,
        aiter(MockProvider(["x"]).stream([{"role": "user", "content": ""}])),
    ):
        with pytest.raises(ValueError, match="rows must be an iterable"):
            start(Model(), tmp_path / "j", rows)
    assert not (tmp_path / "j").exists()


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match="needs Ray"):
        start(Model(), tmp_path / "j")
