"""Batch files: each pattern in rounds, what is written and read, what is not paid for twice."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from executionkit import (
    BudgetExhaustedError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    Rates,
    Rubric,
    TextDelta,
    Tier,
    TokenUsage,
    ToolCall,
    best_of_n,
    cascade,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.errors import JournalError
from executionkit.many import (
    BatchFile,
    BatchRead,
    BatchWritten,
    Journal,
    RateLimits,
    forget_batch,
    iter_many,
    read_batch,
    run_many,
    write_batch,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, run_batch

Step: TypeAlias = Callable[[LLMProvider, Any], Awaitable[Any]]


class Model:
    """Answers by a script for each prompt: the k-th time it is asked, it gives the k-th answer."""

    def __init__(self, answer: Callable[[ChatRequest, int], Any]) -> None:
        self._answer = answer
        self._asked: Counter[str] = Counter()

    def __call__(self, request: ChatRequest) -> Any:
        text = json.dumps(request.messages)
        self._asked[text] += 1
        return self._answer(request, self._asked[text])


async def offline(
    endpoint: LocalEndpoint, provider: LLMProvider, rows: list[Any], step: Step, folder: Path
) -> list[BatchWritten]:
    """Write and read until nothing is missing; returns the rounds that had something to ask."""
    rounds: list[BatchWritten] = []
    journal = folder / "journal.jsonl"
    while not (
        written := await write_batch(provider, rows, step, journal=journal, out=folder / "q.jsonl")
    ).is_complete:
        rounds.append(written)
        assert written.requests
        assert len(rounds) < 20
        assert written.waiting == 0
        for file in written.files:
            run_batch(endpoint.base_url, file.path, folder / "a.jsonl", seed=len(rounds))
            read = read_batch(journal, folder / "a.jsonl")
            assert read == BatchRead(file.requests, cost=read.cost)
    return rounds


async def values(
    provider: LLMProvider, rows: list[Any], step: Step, journal: Path | None = None
) -> list[Any]:
    # One after the other: equal requests that are sent at once may arrive in any order.
    limits = RateLimits(max_in_flight=1)
    outcomes = iter_many(provider, rows, step, journal=journal, ordered=True, limits=limits)
    results = [each async for each in outcomes]
    return [(each.value, each.error, each.cost) for each in results]


# -- the patterns ----------------------------------------------------------------------------------------

JUDGED = Rubric("Is it long?")


def words(request: ChatRequest, times: int) -> Any:
    """Answers that differ from sample to sample; judges give the number of words, up to ten."""
    prompt = request.prompt
    if any("tools: " in message["content"] for message in request.messages[:1]):
        turns = sum(message["role"] == "tool" for message in request.messages)
        calls = [ToolCall(f"c{turns}", "look_up", {"name": f"{prompt[-9:]} {turns}"})]
        return f"after {turns} calls: {prompt}" if turns == 2 else LLMResponse("", calls)
    if any("as json: " in str(message["content"]) for message in request.messages):
        return '{"a": 1}' if len(request.messages) > 2 else '{"a": "b"}'
    if "Is it long?" in prompt:
        return f"Score: {min(10, prompt.count('word'))}"
    if "Which" in prompt and "better" in prompt:
        return "A"
    if (choices := request.field("n")) is not None:
        replies = [LLMResponse(f"answer {(times + number) % 3}") for number in range(choices)]
        return replace(replies[0], alternatives=replies[1:])
    return (
        " ".join(["word"] * (times + prompt.count("word")))
        if "refine" in prompt.lower()
        else f"answer {times % 3}"
    )


async def vote(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=5, max_concurrency=2)


async def vote_until_decided(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=9, stop="decided", max_concurrency=3)


async def vote_by_choices(provider: LLMProvider, row: str) -> Any:
    return await consensus(provider, row, num_samples=6, choices_per_request=3)


async def mapped(provider: LLMProvider, row: str) -> Any:
    inputs = [f"{row} {number}" for number in range(7)]
    return await map_reduce(
        provider, inputs, map_prompt="Shorten: {item}", reduce_prompt="Join: {items}", max_concurrency=2
    )


async def best(provider: LLMProvider, row: str) -> Any:
    return await best_of_n(provider, row, evaluator=JUDGED, num_samples=4, max_concurrency=2)


async def tiers(provider: LLMProvider, row: str) -> Any:
    return await cascade([Tier(provider, 3, 1.0), Tier(provider, 1)], row)


async def refined(provider: LLMProvider, row: str) -> Any:
    return await refine_loop(provider, f"refine {row}", evaluator=JUDGED, target_score=1.0, max_iterations=2)


async def piped(provider: LLMProvider, row: str) -> Any:
    async def best_for_row(run: LLMProvider, prompt: str, **_: Any) -> Any:
        return await best(run, f"{row}: {prompt}")

    return await pipe(provider, row, vote, best_for_row)


async def grouped(provider: LLMProvider, row: str) -> Any:
    """A step of the user's own, with a task group and a pattern inside each task."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(vote(provider, f"{row} {number}")) for number in range(3)]
    return "; ".join(task.result().value for task in tasks)


async def mended(provider: LLMProvider, row: str) -> Any:
    return await structured(provider, f"as json: {row}", dict[str, int], schema_mode="none")


async def tools_in_turn(provider: Any, row: str) -> Any:
    async def look_up(name: str) -> str:
        """Look a name up."""
        RUN.append(name)
        return f"{name} is {name[::-1]}"

    return await react_loop(provider, f"tools: {row}", [look_up])


RUN: list[str] = []

PATTERNS: list[tuple[Step, int]] = [
    (vote, 1),
    (vote_by_choices, 1),
    (mapped, 2),
    (best, 2),
    (tiers, 2),
    (refined, 6),
    (piped, 3),
    (grouped, 1),
    (mended, 2),
    (tools_in_turn, 3),
]


@pytest.mark.parametrize(("step", "depth"), PATTERNS, ids=[step.__name__ for step, _ in PATTERNS])
async def test_a_pattern_takes_as_many_rounds_as_it_is_deep_and_comes_to_the_same(
    tmp_path: Path, step: Step, depth: int
) -> None:
    rows = ["first", "second", "third"]
    RUN.clear()
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            online = await values(provider, rows, step)
        assert not [error for _, error, _ in online if error]
        paid = endpoint.ledger.usage
    run_online = [*RUN]
    RUN.clear()
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            rounds = await offline(endpoint, provider, rows, step, tmp_path)
            assert await values(provider, rows, step, tmp_path / "journal.jsonl") == online
        assert endpoint.ledger.usage == paid
    assert len(rounds) == depth
    assert Counter(RUN) == Counter(run_online)


async def test_a_vote_that_ends_early_takes_more_rounds_and_comes_to_the_same(tmp_path: Path) -> None:
    rows = ["first", "second", "third"]
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            online = await values(provider, rows, vote_until_decided)
    with LocalEndpoint(Model(words)) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            rounds = await offline(endpoint, provider, rows, vote_until_decided, tmp_path)
            assert await values(provider, rows, vote_until_decided, tmp_path / "journal.jsonl") == online
    assert len(rounds) > 1


async def test_a_step_that_streams_is_written_as_a_request_for_a_whole_reply(tmp_path: Path) -> None:
    async def streamed(provider: Any, row: str) -> str:
        async with provider.stream([{"role": "user", "content": row}], max_tokens=7) as events:
            return "".join([event.text async for event in events if isinstance(event, TextDelta)])

    with LocalEndpoint(lambda request: f"{request.prompt}!") as endpoint:
        async with Provider(endpoint.base_url, "m", stream_always=True) as provider:
            (round_,) = await offline(endpoint, provider, ["a", "b"], streamed, tmp_path)
            found = await values(provider, ["a", "b"], streamed, tmp_path / "journal.jsonl")
            assert [value for value, _, _ in found] == ["a!", "b!"]
        assert not any(request.streamed for request in endpoint.ledger.requests)
        assert endpoint.ledger.calls == round_.requests == 2


# -- what is written -------------------------------------------------------------------------------------


class Desk:
    """A job of votes of three on some rows, its journal and files, and a model that answers by its script."""

    def __init__(self, folder: Path, answer: Callable[[ChatRequest], Any] = lambda _: "yes") -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.endpoint = LocalEndpoint(answer)
        self.rows = ["a", "b"]
        self.settings: dict[str, Any] = {}

    @property
    def provider(self) -> Provider:
        return Provider(self.endpoint.base_url, "m", **self.settings)

    @staticmethod
    async def step(provider: LLMProvider, row: str) -> Any:
        return await consensus(provider, row, num_samples=3)

    async def write(self, **options: Any) -> BatchWritten:
        keywords: dict[str, Any] = {"journal": self.journal, "out": self.folder / "q.jsonl", "id": str}
        return await write_batch(self.provider, self.rows, self.step, **keywords | options)

    def run(self, written: BatchWritten, **options: Any) -> list[Path]:
        """Have a service answer; returns its output."""
        found: list[Path] = []
        for file in written.files:
            found.append(file.path.with_suffix(".out"))
            run_batch(self.endpoint.base_url, file.path, found[-1], **options)
        return found

    async def answered(self) -> Any:
        return await run_many(self.provider, self.rows, self.step, id=str, journal=self.journal)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with made.endpoint:
        yield made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_a_line_is_the_body_that_would_be_sent_under_an_id_that_services_take(desk: Desk) -> None:
    desk.rows = ["a", "Größe \n" * 20, "../x y", "line \ud800"]
    desk.settings = {
        "max_tokens_field": "max_completion_tokens",
        "omit": {"temperature"},
        "extra_body": {"seed": 1},
    }
    (file,) = (await desk.write(url="/chat/completions")).files
    found = lines(file.path)
    assert (file.requests, file.size, file.model) == (12, file.path.stat().st_size, "m")
    assert {(line["method"], line["url"]) for line in found} == {("POST", "/chat/completions")}
    assert len({line["custom_id"] for line in found}) == 12
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,64}", line["custom_id"]) for line in found)
    assert file.path.stat().st_mode & 0o777 == 0o600
    expected = [{"role": "user", "content": "a"}]
    assert found[0]["body"] == json.loads(desk.provider.body_of(expected, temperature=0.9, max_tokens=4096))


@pytest.mark.parametrize("limit", [{"max_requests": 2}, {"max_bytes": 400}])
async def test_full_files_go_on_in_numbered_ones_and_none_is_overwritten(
    desk: Desk, limit: dict[str, int]
) -> None:
    (desk.folder / "q-2.jsonl").write_text("mine", encoding="utf-8")
    written = await desk.write(**limit)
    assert [(file.path.name, file.requests) for file in written.files] == [
        ("q.jsonl", 2),
        ("q-3.jsonl", 2),
        ("q-4.jsonl", 2),
    ]
    assert (written.requests, written.waiting, written.open) == (6, 0, 2)
    assert (desk.folder / "q-2.jsonl").read_text("utf-8") == "mine"
    assert not [*desk.folder.glob("*.part")]
    assert read_batch(desk.journal, desk.run(written)) == BatchRead(6, cost=TokenUsage(24, 6, 6))
    assert (await desk.write(**limit)).is_complete


async def test_a_judge_of_another_model_has_a_file_of_its_own(desk: Desk) -> None:
    judge = Provider(desk.endpoint.base_url, "judge")

    async def judged(provider: LLMProvider, row: str) -> Any:
        return await best_of_n(provider, row, evaluator=Rubric("Good?", judge=judge), num_samples=2)

    desk.endpoint = LocalEndpoint(lambda request: "Score: 7" if request.model == "judge" else request.prompt)
    with desk.endpoint:
        judge = Provider(desk.endpoint.base_url, "judge")
        desk.step = judged  # type: ignore[method-assign]
        rounds = [file for _ in range(2) for file in await _round(desk)]
        assert [(file.model, file.requests) for file in rounds] == [("m", 4), ("judge", 4)]
        assert (await desk.write()).is_complete


async def _round(desk: Desk) -> tuple[BatchFile, ...]:
    written = await desk.write()
    read_batch(desk.journal, desk.run(written))
    return written.files


async def test_what_was_written_is_not_written_again_before_it_is_read_or_forgotten(desk: Desk) -> None:
    first = await desk.write()
    again = await desk.write()
    assert (again.files, again.requests, again.waiting, again.open) == ((), 0, 6, 2)
    desk.rows.append("c")
    more = await desk.write()
    assert [(file.path.name, file.requests) for file in more.files] == [("q-2.jsonl", 3)]
    with pytest.raises(ValueError, match=r"no request of 'x' waits; .* in q-2.jsonl, q.jsonl"):
        forget_batch(desk.journal, "x")
    assert forget_batch(desk.journal, first.files[0].path) == 6
    new = await desk.write()
    assert [(file.path.name, file.requests) for file in new.files] == [("q-3.jsonl", 6)]
    assert {line["custom_id"] for line in lines(new.files[0].path)} == {
        line["custom_id"] for line in lines(first.files[0].path)
    }
    assert forget_batch(desk.journal) == 9
    # What comes all the same can be read.
    assert read_batch(desk.journal, desk.run(first)).replies == 6
    assert (await desk.write()).done == 2


async def test_another_version_of_the_work_waits_for_none_of_the_former_one(desk: Desk) -> None:
    await desk.write()
    with Journal(desk.journal, version="2") as journal:
        assert (await desk.write(journal=journal)).requests == 6
        assert (await desk.write(journal=journal)).waiting == 6
        with Journal(desk.journal) as other:
            other.reopen()  # nobody has it
    assert (await desk.write()).waiting == 6


async def test_a_kill_between_the_journal_and_the_files_name_is_put_right(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def replace(self: Path, target: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(Killed):
            await desk.write()
    assert (desk.folder / "q.jsonl").stat().st_size == 0
    desk.rows.append("c")
    written = await desk.write()
    assert sorted((file.path.name, file.requests) for file in written.files) == [
        ("q-2.jsonl", 3),
        ("q.jsonl", 6),
    ]
    assert len(lines(desk.folder / "q.jsonl")) == 6
    assert (written.requests, written.waiting) == (9, 0)
    assert not [*desk.folder.glob("*.part")]


async def test_what_stops_a_round_leaves_no_file_and_nothing_that_waits(desk: Desk) -> None:
    def rows() -> Iterator[str]:
        yield "a"
        raise OSError("the table is gone")

    desk.rows = rows()  # type: ignore[assignment]
    with pytest.raises(OSError, match="the table is gone"):
        await desk.write()
    assert [path.name for path in desk.folder.iterdir()] == ["journal.jsonl"]
    desk.rows = ["a"]
    assert (await desk.write()).requests == 3


# -- what is read ----------------------------------------------------------------------------------------


async def test_any_order_repeated_unknown_and_broken_lines(desk: Desk) -> None:
    (output,) = desk.run(await desk.write())
    text = output.read_text("utf-8").splitlines(keepends=True)
    text[1:1] = ["\n", text[0], '{"custom_id": "another", "response": null, "error": null}\n', "[]\n"]
    assert len(text) == 10
    output.write_text("\ufeff" + "".join(text)[:-40], encoding="utf-8")
    usage = TokenUsage(20, 5, 5)
    assert read_batch(desk.journal, output) == BatchRead(5, 0, 0, 0, 1, 1, 2, 1, usage)
    again = read_batch(desk.journal, iter(text))
    assert again == BatchRead(1, 0, 0, 0, 6, 1, 1, 0, TokenUsage(4, 1, 1))
    assert str(again) == "1 reply, 6 there before, 1 of no known request, 1 broken; 1 call, 4 + 1 tokens"
    assert (await desk.answered()).cost == desk.endpoint.ledger.usage


async def test_what_expired_is_written_again_and_costs_nothing(desk: Desk) -> None:
    written = await desk.write()
    wanted = lines(written.files[0].path)[1]["custom_id"]
    assert read_batch(desk.journal, desk.run(written, expires=wanted.__eq__)) == BatchRead(
        5, 0, 1, cost=TokenUsage(20, 5, 5)
    )
    again = await desk.write()
    assert (again.requests, again.done, again.open) == (1, 1, 1)
    assert lines(again.files[0].path)[0]["custom_id"] == wanted
    read_batch(desk.journal, desk.run(again))
    assert (await desk.write()).is_complete
    assert (await desk.answered()).cost == desk.endpoint.ledger.usage == TokenUsage(24, 6, 6)


async def test_a_refused_request_fails_its_row_in_the_servers_words(desk: Desk) -> None:
    refused = {"error": {"message": "Too rude.", "code": "content_policy"}}
    desk.endpoint = LocalEndpoint(
        lambda request: Fault.status(400, body=refused) if request.prompt == "b" else "yes"
    )
    with desk.endpoint:
        written = await desk.write()
        assert read_batch(desk.journal, desk.run(written)).failed == 3
        last = await desk.write()
        assert (last.requests, last.done, last.failed, last.open, last.is_complete) == (0, 1, 1, 0, True)
        with Journal(desk.journal) as journal:
            (error,) = [each.error for each in journal.rows() if each.error]
        assert error is not None
        assert error.startswith("PermanentError: the batch answered 400 Bad Request: Too rude.")


@pytest.mark.parametrize(("status", "rounds"), [(500, 4), (429, 6)])
async def test_a_request_that_failed_for_the_time_being_is_written_again(
    desk: Desk, status: int, rounds: int
) -> None:
    desk.rows = ["a"]
    desk.endpoint = LocalEndpoint([Fault.status(status)] * 5 * 3 + ["yes"] * 3, strict=True)
    with desk.endpoint:
        for _ in range(rounds):
            written = await desk.write()
            assert (written.requests, written.failed) == (3, 0)
            read_batch(desk.journal, desk.run(written))
            with Journal(desk.journal) as journal:
                journal.reopen()
                journal.compact()
        last = await desk.write()
        assert (last.requests, last.done, last.failed) == ((0, 0, 1) if status == 500 else (0, 1, 0))
        with Journal(desk.journal) as journal:
            (outcome,) = journal.rows()
        assert outcome.error is None or outcome.error.endswith("Simulated failure 500. (in 4 batches)")
        assert last.is_complete


COMPLETION = {"choices": [{"message": {"role": "assistant", "content": "no"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("response", "error", "outcome"),
    [
        ({"status_code": 200, "request_id": "r", "body": COMPLETION}, None, "replies"),
        ({"body": json.dumps(COMPLETION)}, None, "replies"),
        (COMPLETION, None, "replies"),
        ({"status_code": 200, "body": {**COMPLETION, "error": None}}, {}, "replies"),
        ({"status_code": 200, "body": {"choices": []}}, None, "failed"),
        ({"status_code": 503, "body": "<html>busy</html>"}, None, "failed"),
        ({"status_code": 0, "body": None}, {"code": "x", "message": "no room"}, "failed"),
        (None, {"message": "no room", "type": "server_error"}, "failed"),
        (None, "no room", "failed"),
        (None, None, "failed"),
        (None, {"code": "batch_expired", "message": "late"}, "not_run"),
        ({"status_code": 0, "body": {}}, {"code": "batch_cancelled"}, "not_run"),
    ],
)
async def test_the_forms_of_lines_that_services_write(
    desk: Desk, response: object, error: object, outcome: str
) -> None:
    written = await desk.write()
    name = lines(written.files[0].path)[0]["custom_id"]
    read = read_batch(desk.journal, [json.dumps({"custom_id": name, "response": response, "error": error})])
    assert (getattr(read, outcome), read.waiting) == (1, 5)
    with Journal(desk.journal) as journal:
        assert [each["content"] for each in journal.calls()] == (["no"] if outcome == "replies" else [])


async def test_replies_that_come_too_late_count_and_are_not_kept(desk: Desk) -> None:
    written = await desk.write()
    with pytest.raises(JournalError, match="responses to 6 requests of a batch are yet to come"):
        await desk.answered()
    assert desk.endpoint.ledger.calls == 0
    assert forget_batch(desk.journal) == 6
    online = await desk.answered()
    assert online.cost == TokenUsage(24, 6, 6)
    read = read_batch(desk.journal, desk.run(written))
    assert (read.late, read.replies, read.waiting, read.cost) == (6, 0, 0, TokenUsage(24, 6, 6))
    assert (await desk.answered()).cost == desk.endpoint.ledger.usage == TokenUsage(48, 12, 12)


# -- what it costs ---------------------------------------------------------------------------------------


async def test_a_reply_counts_with_its_share_of_the_price(desk: Desk) -> None:
    desk.settings = {"prices": (rates := Rates(input=2, output=6, per=1))}
    read = read_batch(desk.journal, desk.run(await desk.write()), prices=rates)
    assert read.cost == TokenUsage(24, 6, 6, usd=42)
    assert (await desk.answered()).cost == TokenUsage(24, 6, 6, usd=42)
    with Journal(desk.journal) as journal:
        assert [each.cost for each in journal.rows()] == [TokenUsage(12, 3, 3, usd=21)] * 2


async def test_a_ceiling_holds_over_all_rounds_and_counts_what_waits_once(desk: Desk) -> None:
    with pytest.raises(BudgetExhaustedError) as caught:
        await desk.write(max_cost=TokenUsage(llm_calls=5))
    written = caught.value.metadata["batch"]
    assert (written.requests, written.open) == (5, 2)
    assert "5 requests in q.jsonl" in caught.value.__notes__[-1]
    ceiling = TokenUsage(llm_calls=6)
    more = await desk.write(max_cost=ceiling)
    assert (more.requests, more.waiting) == (1, 5)
    assert (await desk.write(max_cost=ceiling)).waiting == 6
    for each in (written, more):
        read_batch(desk.journal, desk.run(each))
    assert (await desk.write(max_cost=ceiling)).is_complete
    assert (await desk.answered()).cost == desk.endpoint.ledger.usage == TokenUsage(24, 6, 6)


@pytest.mark.parametrize(
    "ceiling", [TokenUsage(output_tokens=4 * 4096), TokenUsage(usd=8 * 4096)], ids=["tokens", "dollars"]
)
async def test_a_request_that_waits_counts_with_the_most_it_may_come_to(
    desk: Desk, ceiling: TokenUsage
) -> None:
    desk.settings = {"prices": (rates := Rates(input=2, output=2, per=1))}
    for _ in range(2):
        with pytest.raises(BudgetExhaustedError) as caught:
            await desk.write(max_cost=ceiling)
        written = caught.value.metadata["batch"]
        assert (written.requests + written.waiting) in (3, 4, 5)
    read_batch(desk.journal, desk.folder / "q.jsonl", prices=rates)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_requests": 0}, "max_requests must be an integer >= 1"),
        ({"out": "nowhere/q.jsonl"}, "'nowhere', which is no directory"),
    ],
)
async def test_arguments_are_checked_before_anything_is_done(
    desk: Desk, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        await desk.write(**options)
    assert not desk.journal.exists()


async def test_a_provider_that_can_t_say_its_body_is_refused(desk: Desk) -> None:
    with pytest.raises(TypeError, match=r"MockProvider can't say what it would send: it needs .*body_of"):
        await write_batch(MockProvider([""]), ["a"], desk.step, journal=desk.journal, out=desk.folder / "q")
    judge = MockProvider([""])

    async def judged(provider: LLMProvider, row: str) -> Any:
        return await best_of_n(provider, row, evaluator=Rubric("Good?", judge=judge), num_samples=1)

    desk.rows, desk.step = ["a"], judged  # type: ignore[method-assign]
    await _round(desk)
    with pytest.raises(PermanentError, match="MockProvider can't say what it would send"):
        await desk.write()


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="can't be read"):
        read_batch(tmp_path / "none.jsonl", [])
    (tmp_path / "table.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(JournalError, match="is not a journal"):
        read_batch(tmp_path / "table.jsonl", [])
