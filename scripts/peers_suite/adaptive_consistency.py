"""AdaptiveConsistency."""

import random

from adaptive_consistency import AC, BetaStoppingCriteria

from executionkit import MockProvider, consensus
from peers_suite.checking import QUESTION, expect


def _winner(answers: list[str]) -> str:
    return max(answers, key=answers.count)


def _is_decided(answers: list[str]) -> bool:
    left = 40 - len(answers)
    return len({_winner(answers + left * [rest]) for rest in ("yes", "no")}) == 1


async def check_rule() -> None:
    """Both stop after the same reply, or this library earlier if the rest can't change the winner."""
    chance = random.Random(20_261_201)
    for _ in range(50):
        share = chance.uniform(0.5, 1)
        answers = ["yes" if chance.random() < share else "no" for _ in range(40)]
        rule = AC(max_gens=40, stop_criteria=BetaStoppingCriteria(0.95))
        seen = [answers[:n] for n in range(1, 41)]
        theirs = next((len(some) for some in seen if rule.should_stop(some)), 40)
        decided = next(len(some) for some in seen if _is_decided(some))
        result = await consensus(
            MockProvider(answers), QUESTION, num_samples=40, stop=0.95, max_concurrency=1
        )
        expect(result.cost.llm_calls, min(theirs, decided))


async def check_eval_loop() -> None:
    """eval_loop raises AttributeError in 1.0.0."""
    try:
        AC(max_gens=5, stop_criteria=BetaStoppingCriteria(0.95)).eval_loop(lambda: "yes")
    except AttributeError:
        return
    raise AssertionError("eval_loop works, where the page says that it doesn't")
