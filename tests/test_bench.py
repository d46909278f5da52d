"""`executionkit.bench`: patterns compared on the same items, with intervals that can be trusted."""

import json
import math
import random
from functools import partial
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from executionkit import (
    BudgetExhaustedError,
    MockProvider,
    PermanentError,
    Provider,
    Rates,
    TokenUsage,
    answers,
    bench,
    consensus,
)
from executionkit.bench import _statistics as statistics
from executionkit.testing import LocalEndpoint

USAGE = TokenUsage(input_tokens=20, output_tokens=5)


def items(count: int) -> list[dict[str, Any]]:
    return [{"question": f"{number} + 1", "answer": number + 1} for number in range(count)]


def adder(call: Any) -> str:
    """A model that gets sums of odd numbers wrong two times in three."""
    number = int(call.messages[-1]["content"].split(" ")[0])
    return f"The answer is {number + 1 + (number % 2 and next(_TURNS) % 3)}."


_TURNS = iter(range(100_000))


# -- statistics ------------------------------------------------------------------------------------------


def covered(share: float, count: int, size: float, *, pairs: bool) -> float:
    """How often the interval has the true value in it, over 120 simulated comparisons."""
    chance = random.Random(20)
    hits = 0
    for seed in range(120):
        if pairs:
            weights = [share + size, share, 1 - 2 * share - size]
            values = chance.choices([1.0, -1.0, 0.0], weights, k=count)
            found = statistics.interval_of_difference(values, resamples=200, seed=seed)
            hits += found.low <= size <= found.high
        else:
            values = [float(chance.random() < share) for _ in range(count)]
            found = statistics.interval_of_mean(values, resamples=200, seed=seed)
            hits += found.low <= share <= found.high
    return hits / 120


@pytest.mark.parametrize(("share", "count", "size"), [(0.1, 40, 0.1), (0.05, 20, 0.05), (0.02, 40, 0.06)])
def test_intervals_of_differences_hold_the_truth_nineteen_times_in_twenty(
    share: float, count: int, size: float
) -> None:
    assert covered(share, count, size, pairs=True) >= 0.93


@pytest.mark.parametrize(("share", "count"), [(0.5, 30), (0.9, 40), (0.97, 60)])
def test_intervals_of_shares_hold_the_truth_nineteen_times_in_twenty(share: float, count: int) -> None:
    assert covered(share, count, 0.0, pairs=False) >= 0.92


@pytest.mark.parametrize("count", [3, 8])
def test_intervals_of_partly_right_grades_find_no_difference_by_chance(count: int) -> None:
    chance = random.Random(3)
    misses = 0
    for seed in range(200):
        values = [chance.betavariate(2, 2) - chance.betavariate(2, 2) for _ in range(count)]
        found = statistics.interval_of_difference(values, resamples=200, seed=seed)
        misses += not found.low <= 0 <= found.high
    assert misses / 200 <= 0.08  # the bootstrap alone: 0.27 and 0.11


def test_intervals_agree_with_their_formulas() -> None:
    assert statistics.wilson(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)

    won, lost, count = 60, 30, 400
    values = [1.0] * won + [-1.0] * lost + [0.0] * (count - won - lost)
    p, q = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = 1.96 * math.sqrt((p + q - (p - q) ** 2) / (count + 2))
    found = statistics.interval_of_difference(values, resamples=4_000, seed=1)
    assert found == pytest.approx((p - q - half, p - q + half), abs=0.006)

    chance = random.Random(1)
    grades = [chance.random() for _ in range(300)]
    centre, half = sum(grades) / 300, 1.96 * math.sqrt(1 / 12 / 300)
    found = statistics.interval_of_mean(grades, resamples=2_000, seed=1)
    assert found == pytest.approx((centre - half, centre + half), abs=0.006)


def test_intervals_keep_their_width_where_all_items_are_alike() -> None:
    everything_right = statistics.interval_of_mean([1.0] * 50, resamples=200, seed=0)
    assert everything_right == pytest.approx((0.9286, 1.0), abs=1e-4)
    half_right = statistics.interval_of_mean([0.5] * 50, resamples=200, seed=0)
    assert half_right.low < 0.4 < 0.6 < half_right.high
    agreed = statistics.interval_of_difference([0.0] * 50, resamples=2_000, seed=0)
    assert -0.1 < agreed.low < -0.03 < 0.03 < agreed.high < 0.1


def test_the_items_needed_follow_from_the_variance_seen() -> None:
    values = [1.0] * 99 + [-1.0] * 99 + [0.0] * 798 + [0.25, 0.25]
    assert statistics.items_needed(values, 0.02) == pytest.approx(7.849 * 0.1984 / 0.0004, rel=0.01)


# -- comparisons -----------------------------------------------------------------------------------------


async def test_patterns_are_compared_on_the_same_items() -> None:
    provider = MockProvider(adder, usage=USAGE, prices=Rates(1, 2))
    steps = bench.steps("ask,consensus:5", "{question}", key=answers.number)
    result = await bench.compare(items(60), steps, provider=provider)

    one, five = result.patterns
    assert (one.name, five.name, result.items) == ("ask", "consensus:5", 60)
    assert one.accuracy == pytest.approx(2 / 3, abs=0.1)
    assert one.interval.low < one.accuracy < one.interval.high
    assert five.difference == pytest.approx(five.accuracy - one.accuracy)
    assert five.difference_interval is not None
    assert (one.calls_per_item, five.calls_per_item, five.tokens_per_item) == (1.0, 5.0, 125.0)
    assert five.cost == TokenUsage(6_000, 1_500, 300, usd="0.009")
    assert result.cost == five.cost + one.cost
    assert result["consensus:5"] is five
    assert {each.grade for each in result.wrong("ask")} == {0.0}
    assert len(result.wrong("ask")) == round(60 * (1 - one.accuracy))
    with pytest.raises(KeyError, match="no pattern is called 'vote'"):
        result.wrong("vote")

    data = json.loads(json.dumps(result.to_dict()))
    assert data["patterns"][1]["usd_per_item"] == "0.00015"
    assert json.loads(json.dumps(result.outcomes[0].to_dict()))["item"] == "0"
    table = str(result).splitlines()
    assert table[1].split("  ")[0] == "pattern"
    assert "$/item" in table[1]
    assert "failed" not in table[1]
    assert repr(result).startswith("Comparison(60 items, ask ")
    ElementTree.fromstring(result._repr_html_())  # pyright: ignore[reportPrivateUsage]  # notebooks call it


async def test_the_same_seed_gives_the_same_intervals() -> None:
    async def half(item: int) -> float:
        return item / 10

    async def less(item: int) -> float:
        return item / 20

    steps = {"half": half, "less": less}
    compare = partial(bench.compare, range(10), steps, grade=lambda v, _: v, resamples=200)
    one, other = await compare(seed=4), await compare(seed=4)
    assert one.to_dict()["patterns"][0]["interval"] == other.to_dict()["patterns"][0]["interval"]
    assert "less is worse than half by 22.5 points" in one.advice[0]


def test_steps_without_a_provider_are_counted_by_their_results() -> None:
    provider = MockProvider(["2"], usage=USAGE)

    async def vote(item: dict[str, Any]) -> Any:
        return await consensus(provider, item["question"], num_samples=3)

    async def constant(_: dict[str, Any]) -> int:
        return 2

    result = bench.compare_sync(items(4), {"vote": vote, "constant": constant}, id="question")
    assert [each.accuracy for each in result.patterns] == [0.25, 0.25]
    assert result.cost == TokenUsage(240, 60, 12)
    assert result.outcomes[0].item == "0 + 1"
    assert "No difference between constant and vote is seen: 0.0 points" in result.advice[0]
    with pytest.raises(ValueError, match="need provider="):
        bench.compare_sync(items(4), {"vote": vote}, max_cost=TokenUsage(llm_calls=1))


async def test_a_ceiling_leaves_items_that_all_patterns_have_met() -> None:
    with LocalEndpoint(lambda _: "1") as endpoint:
        async with Provider(endpoint.base_url, "any-model") as provider:
            with pytest.raises(BudgetExhaustedError) as caught:
                await bench.compare(
                    items(50),
                    bench.steps("ask,consensus:2", "{question}"),
                    provider=provider,
                    max_cost=TokenUsage(llm_calls=31),
                    max_rows=4,
                )
        assert endpoint.ledger.calls == 31 == caught.value.cost.llm_calls
    found = caught.value.metadata["comparison"]
    assert 3 <= found.items <= 10
    assert {each.items for each in found.patterns} == {found.items}
    assert found.cost.llm_calls == 31

    with pytest.raises(BudgetExhaustedError) as caught:
        await bench.compare(
            items(50),
            bench.steps("ask,consensus:2", "{question}"),
            provider=MockProvider(["1"]),
            max_cost=TokenUsage(llm_calls=1),
        )
    assert caught.value.metadata["comparison"] is None


async def test_a_comparison_goes_on_from_its_journal(tmp_path: Any) -> None:
    compare = partial(bench.compare, items(20), journal=tmp_path / "j.jsonl")
    provider = MockProvider(adder, usage=USAGE)
    steps = bench.steps("ask,consensus:3", "{question}", key=answers.number)
    with pytest.raises(BudgetExhaustedError):
        await compare(steps, provider=provider, max_cost=TokenUsage(llm_calls=30), max_rows=4)
    assert 28 <= len(provider.calls) <= 30
    more = bench.steps("ask,consensus:3,consensus:5", "{question}", key=answers.number)
    result = await compare(more, provider=provider)
    assert len(provider.calls) == result.cost.llm_calls == 20 * (1 + 3 + 5)
    again = await compare(more, provider=MockProvider(["no call"]))
    assert again.to_dict() == result.to_dict()
    assert [each.item for each in again.outcomes] == [str(number) for number in range(20) for _ in more]


async def test_failures_are_wrong_answers_and_counted() -> None:
    def reply(call: Any) -> str:
        if "3 +" in call.messages[-1]["content"]:
            raise PermanentError("filtered", status_code=400)
        return "9"

    result = await bench.compare(
        items(9), bench.steps("ask,consensus:1", "{question}"), provider=MockProvider(reply)
    )
    assert [each.failures for each in result.patterns] == [1, 1]
    assert [each.accuracy for each in result.patterns] == [pytest.approx(1 / 9)] * 2
    failed = [each for each in result.outcomes if each.error]
    assert {(each.answer, each.grade, each.cost.llm_calls) for each in failed} == {(None, 0.0, 1)}
    assert "filtered" in str(failed[0].error)
    assert result.advice[-1] == "Failures count as wrong answers: ask 1, consensus:1 1."
    assert "failed" in str(result)


async def test_mistakes_of_the_program_end_the_comparison() -> None:
    provider = MockProvider(["1"])
    ask = bench.steps("ask", "{question}")

    async def graded(value: str, item: Any) -> float:
        return float("nan")

    with pytest.raises(ValueError, match=r"grade must be in \[0, 1\]") as caught:
        await bench.compare(items(200), ask, provider=provider, grade=graded)
    assert "raised for the pattern 'ask' on item" in caught.value.__notes__[0]
    assert len(provider.calls) < 200

    provider = MockProvider(["1"])
    with pytest.raises(ValueError, match="no field 'qestion'; the row has question, answer"):
        await bench.compare(items(3), bench.steps("ask", "{qestion}"), provider=provider)
    with pytest.raises(ValueError, match="must have one of 'expected' and 'answer', this one has 'x'"):
        await bench.compare([*items(3), {"x": 1}], ask, provider=provider)
    with pytest.raises(ValueError, match="item 1 has the id '1', which another has too"):
        await bench.compare([{"answer": 1}, {"answer": 1}], ask, provider=provider, id="answer")
    with pytest.raises(ValueError, match="no items"):
        await bench.compare([], ask, provider=provider)
    with pytest.raises(ValueError, match="mapping of steps"):
        await bench.compare(items(1), {})
    with pytest.raises(ValueError, match="name of a pattern"):
        await bench.compare(items(1), {"": ask["ask"]}, provider=provider)
    with pytest.raises(TypeError, match=r"called as \(item\), and it can't be: .*; or give provider="):
        await bench.compare(items(1), ask)
    with pytest.raises(TypeError, match="'ask' must be an async function"):
        await bench.compare(items(1), {"ask": "ask"})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="'ask' returned a int"):
        await bench.compare(items(1), {"ask": lambda item: 1})  # type: ignore[dict-item]
    assert provider.calls == []


async def test_the_advice_tells_the_price_and_what_would_have_been_seen() -> None:
    provider = MockProvider(["1"], usage=USAGE, prices=Rates(1, 2))

    async def one(provider: Any, _: int) -> Any:
        return (await provider.complete([{"role": "user", "content": "?"}])).content

    async def dear(_: Any, __: int) -> Any:
        other = MockProvider(["1"], usage=USAGE, prices=Rates(10, 20))
        return await consensus(other, "?", num_samples=2)

    async def free(_: Any, item: int) -> int:
        return item % 2

    steps = {"one": one, "dear": dear, "free": free}
    result = await bench.compare(
        range(300), steps, provider=provider, grade=lambda value, _: value in (1, "1")
    )
    assert result["dear"].items_needed == 130
    assert result.advice[0].startswith("No difference between dear and one is seen: 0.0 points [-1.0, 1.0]")
    assert result.advice[0].endswith(
        ", for 2.0 × the calls and 20.0 × the dollars. One of 2 points would most likely have been seen."
    )
    assert result.advice[1].startswith("free is worse than one by 50.0 points [-5")
    assert result.advice[1].endswith("].")


async def test_without_a_right_answer_the_advice_is_to_look_at_the_grade() -> None:
    result = await bench.compare(
        items(3), bench.steps("ask,consensus:2", "{question}"), provider=MockProvider(["x"])
    )
    assert result.advice == (
        "No pattern has a right answer: look at some of their answers, and whether the grade fits them.",
    )


# -- grades, specs, pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected", "grade"),
    [
        ("Paris", "paris ", 1.0),
        ("Paris it is", "Paris", 0.0),
        ("So it is 42.", 42, 1.0),
        (42.0, 42, 1.0),
        (True, 1, 0.0),
        ("4 or 42", 42, 0.0),
        (True, True, 1.0),
        ({"a": [1]}, {"a": [1]}, 1.0),
        ("true", True, 1.0),
        (42, "42", 1.0),
        (None, "Paris", 0.0),
    ],
)
def test_match_compares_with_the_expected_answer(value: object, expected: object, grade: float) -> None:
    assert bench.match()(value, {"expected": expected}) == grade


def test_match_reads_both_by_its_key() -> None:
    grade = bench.match("gold", key=answers.number)
    assert grade("It is 7.", {"gold": "#### 7"}) == 1.0
    assert grade("I don't know.", {"gold": 7}) == 0.0
    assert grade(7, {"gold": "#### 7"}) == 1.0  # read already
    boxed = bench.match(key=answers.boxed)
    assert boxed(r"So \boxed{x = 2}", {"expected": "x = 2"}) == boxed("x = 2", {"answer": "x = 2"}) == 1.0
    with pytest.raises(ValueError, match="must be a mapping"):
        grade("7", "seven")
    with pytest.raises(ValueError, match="must have 'gold', this one has no fields"):
        grade("7", {})


async def test_steps_are_written_as_one_line() -> None:
    steps = bench.steps(
        "ask, consensus:9:decided,consensus:4:0.9,best_of_n:2,refine:1,refine",
        "{{x}} {q}",
        temperature=0.1,
        system="Short.",
    )
    assert list(steps) == [
        "ask",
        "consensus:9:decided",
        "consensus:4:0.9",
        "best_of_n:2",
        "refine:1",
        "refine",
    ]
    provider = MockProvider(["7"])
    result = await bench.compare([{"q": 7, "expected": "7"}], steps, provider=provider)
    assert result["consensus:9:decided"].cost.llm_calls == 5
    assert {call.messages[-1]["content"] for call in provider.calls if call.temperature == 0.1} >= {"{x} 7"}
    votes = bench.steps("ask,consensus:1", "{q}", key=answers.label("yes", "no"))
    result = await bench.compare([{"q": 7, "expected": "yes"}], votes, provider=MockProvider(["It is.\nYes"]))
    assert [each.answer for each in result.outcomes] == ["yes", "yes"]
    assert result["ask"].accuracy == 1.0
    result = await bench.compare([{"q": 7, "expected": "yes"}], votes, provider=MockProvider(["Maybe."]))
    assert [(each.answer, each.grade) for each in result.outcomes] == [("Maybe.", 0.0), (None, 0.0)]
    assert result["consensus:1"].failures == 1
    for wrong in ("vote:3", "consensus", "consensus:x", "ask:2", "consensus:3:soon", "best_of_n", "ask,", ""):
        with pytest.raises(ValueError, match="a pattern must be one of"):
            bench.steps(wrong, "{q}")
    with pytest.raises(ValueError, match="'ask' is given twice"):
        bench.steps("ask,ask", "{q}")


async def test_the_picture_is_well_formed_and_labels_lie_apart(tmp_path: Any) -> None:
    async def right(item: dict[str, Any]) -> Any:
        return item["answer"]

    names = ['<b>&"one"\x1b', "two", "three", "four", "a name that is much too long for a picture"]
    result = await bench.compare(items(5), dict.fromkeys(names, right))
    result.plot(tmp_path / "p.svg")
    root = ElementTree.fromstring((tmp_path / "p.svg").read_text(encoding="utf-8"))
    texts = [each for each in root if each.tag.endswith("text")]
    labels = [each for each in texts if ", 100.0 %" in (each.text or "")]
    heights = sorted(float(each.get("y", "")) for each in labels)
    assert len(labels) == 5
    assert labels[0].text == '<b>&"one", 100.0 %'
    assert all(b - a >= 16.9 for a, b in pairwise(heights))
    assert "calls for an item" in [each.text for each in texts]
