"""DSPy."""

from collections.abc import Callable
from typing import Any

import dspy

from executionkit.testing import ChatRequest, Fault
from peers_suite.checking import DOWN, QUESTION, Outcome, expect, price, theirs

ASK = "question -> answer"


def _answer(text: str) -> str:
    return f"[[ ## answer ## ]]\n{text}\n\n[[ ## completed ## ]]"


async def _asked(script: Any, task: Callable[[], Any], **options: Any) -> Outcome:
    async def run(url: str) -> Any:
        with dspy.context(lm=dspy.LM("openai/m", api_base=url, api_key="-", **options)):
            return task()

    return await theirs(script, run)


async def check_cache() -> None:
    """The same question again needs no request, unless the cache is off."""

    def twice() -> None:
        for _ in range(2):
            dspy.Predict(ASK)(question="Is there a cache?")

    expect((await _asked([_answer("yes")], twice)).requests, 1)
    expect((await _asked([_answer("yes")], twice, cache=False)).requests, 2)


async def check_vote() -> None:
    """n=5 is five requests one after another; majority looks past case, punctuation and articles."""
    answers = [_answer(text) for text in ("The Louvre.", "louvre", "Orsay", "Orsay", "a Louvre")]
    slowly = [Fault.delay(0.02, then=text) for text in answers]
    found = await _asked(
        slowly, lambda: dspy.majority(dspy.Predict(ASK, n=5)(question=QUESTION)).answer, cache=False
    )
    expect((found.value, found.requests, found.most_at_once), ("The Louvre.", 5, 1))
    expect((found.last.field("temperature"), found.last.max_tokens), (0.7, None))


async def check_best_of_n() -> None:
    """BestOfN stops at the threshold, at temperature 1.0; the fourth failure of five is raised."""
    answers = [_answer(text) for text in ("a", "abc", "ab", "abcd", "a")]

    def best() -> Any:
        return dspy.BestOfN(
            dspy.Predict(ASK), N=5, reward_fn=lambda _, found: len(found.answer) / 3, threshold=1.0
        )(question=QUESTION)

    found = await _asked(answers, best, cache=False)
    expect((found.value.answer, found.requests, found.most_at_once), ("abc", 2, 1))
    expect(found.last.field("temperature"), 1.0)
    found = await _asked(DOWN, best, cache=False, num_retries=0)
    expect((found.requests, found.raised), (4, "LMServerError"))


async def check_refine() -> None:
    """Refine asks the model for advice between the runs, and returns the best."""
    answers = iter(["a", "abc", "ab"])
    advice = (
        '[[ ## discussion ## ]]\nShort.\n\n[[ ## advice ## ]]\n{"self": "Longer."}\n\n[[ ## completed ## ]]'
    )
    asked: list[str] = []

    def model(request: ChatRequest) -> str:
        text = str(request.messages)
        asked.append("advice" if "[[ ## advice ## ]]" in text else "answer")
        return advice if asked[-1] == "advice" else _answer(next(answers))

    found = await _asked(
        model,
        lambda: dspy.Refine(
            dspy.Predict(ASK), N=3, reward_fn=lambda _, found: len(found.answer) / 9, threshold=1.0
        )(question=QUESTION),
        cache=False,
    )
    expect((found.value.answer, asked), ("abc", ["answer", "advice", "answer", "advice", "answer"]))


async def check_react() -> None:
    """ReAct without any limit: twenty rounds and a closing answer."""

    def model(request: ChatRequest) -> str:
        if "next_tool_name" in str(request.messages):
            return (
                "[[ ## next_thought ## ]]\nTea.\n\n[[ ## next_tool_name ## ]]\nprice\n\n"
                '[[ ## next_tool_args ## ]]\n{"item": "tea"}\n\n[[ ## completed ## ]]'
            )
        return "[[ ## reasoning ## ]]\nSo.\n\n" + _answer("3.20")

    found = await _asked(model, lambda: dspy.ReAct(ASK, [price])(question=QUESTION), cache=False)
    expect((found.requests, found.value.answer), (21, "3.20"))
