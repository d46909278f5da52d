"""A model on your own machine, with Ollama: no key and no cost, but calls are slow.

    ollama pull llama3.2
    export EXECUTIONKIT_BASE_URL=http://localhost:11434/v1 EXECUTIONKIT_MODEL=llama3.2
    python examples/ollama_quick_start.py

llama.cpp's `llama-server` listens at http://localhost:8080/v1, vLLM at http://localhost:8000/v1.
"""

import asyncio

from endpoint import endpoint

from executionkit import PermanentError, Provider, ProviderError, answers, consensus

QUESTION = (
    "A bat and a ball cost 1.10 together. The bat costs 1.00 more than the ball. "
    "What does the ball cost?"
)


async def main() -> None:
    # The first call waits until the model is loaded, so `timeout` is long.
    # A missing server shows at once.
    local = Provider(*endpoint(simulated), timeout=600.0, connect_timeout=2.0)
    async with local as provider:
        try:
            result = await consensus(
                provider,
                f"{QUESTION} Think first, then end with: The answer is ...",
                num_samples=7,
                key=answers.number,
                stop="decided",  # no samples that can't change the winner
                max_tokens=1000,
                max_concurrency=2,  # no more than the server runs at once
            )
        except PermanentError as error:
            raise SystemExit(
                f"{error}\nIs the model pulled? `ollama list` lists your models."
            ) from error
        except ProviderError as error:
            raise SystemExit(
                f"{error}\nIs the server running? `ollama serve` starts it."
            ) from error
    print(result.value)
    print(
        f"answer: {result.answer}, votes: {result.votes}, "
        f"samples saved: {result.samples_saved}"
    )
    print(result.cost)


simulated = [
    "With b for the ball, b + (b + 1.00) = 1.10, so b = 0.05. The answer is 0.05.",
    "1.10 - 1.00 = 0.10. The answer is 0.10.",
    "The bat is 1.05 then, and 1.05 + 0.05 = 1.10. The answer is 0.05.",
]


if __name__ == "__main__":
    asyncio.run(main())
