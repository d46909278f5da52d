"""A script without an event loop: the same patterns, one call after another."""

from endpoint import endpoint

from executionkit import ExecutionKitError, Provider, consensus_sync, refine_loop_sync
from executionkit.testing import ChatRequest


def main() -> None:
    provider = Provider(*endpoint(simulated))
    try:
        answer = consensus_sync(
            provider, "What is 6 times 7? Reply with the number only.", num_samples=3
        )
        print(answer.value, answer.agreement_ratio)
        why = refine_loop_sync(provider, f"Explain in one sentence why 6 * 7 = {answer}.")
        print(why.value, why.score)
    except ExecutionKitError as error:
        raise SystemExit(f"{type(error).__name__}: {error} (spent: {error.cost})") from error
    print(answer.cost + why.cost)


def simulated(request: ChatRequest) -> str:
    if "Judge how well" in request.prompt:
        return "Score: 9"
    return "42" if "6 times 7" in request.prompt else "Six sevens, added up, make forty-two."


if __name__ == "__main__":
    main()
