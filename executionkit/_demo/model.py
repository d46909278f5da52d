"""The simulated model of the demo: scripted, and wrong now and then, as real ones are."""

from collections import Counter

from executionkit.responses import LLMResponse, ToolCall
from executionkit.testing import Answer, ChatRequest, Fault

NAME = "simulated-model"

# The replies to a prompt that contains these words: the first time, the second time, and so on.
_REPLIES: dict[str, list[Answer]] = {
    "A bat and a ball": ["5 cents", "10 cents", Fault.status(503), "5 cents", "10 cents", "5 cents"],
    "why the sky is blue": [
        "Because of Rayleigh scattering.",
        "Air scatters blue light more than red light, so the sky looks blue.",
        "The sky is blue because it mirrors the sea.",
        "Sunlight has all colours in it, and the air bounces the blue part around the most, so blue "
        "comes to your eyes from all over the sky.",
    ],
    "Write a tagline": [
        "Many minds, one answer.",
        "AI, but better.",
        "Many minds, one answer.",
        Fault.rate_limited(retry_after=0.2),
        "Ask twice, trust once.",
        "Many minds, one answer.",
    ],
    "Sharpen this tagline": [
        "Many minds, one good answer.",
        "Many tries, one answer.",
        "Many tries, one answer, one bill.",
    ],
}

# The verdicts on these texts.
_VERDICTS = {
    "Because of Rayleigh scattering.": "Score: 4",
    "Air scatters blue light more than red light, so the sky looks blue.": "7/10",
    "The sky is blue because it mirrors the sea.": "Score: 1",
    "comes to your eyes from all over the sky.": "Score: 9.5",
    "Many minds, one good answer.": "6",
    "Many tries, one answer.": "Score: 8",
    "Many tries, one answer, one bill.": "9.2/10",
}


class SimulatedModel:
    """Called by the endpoint with each request; returns the reply."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __call__(self, request: ChatRequest) -> Answer:
        """Answer the request, or fail it."""
        if request.tools:
            return _with_tools(request)
        if "Judge how well" in request.prompt:
            return _verdict(request.prompt)
        task = next((words for words in _REPLIES if words in request.prompt), None)
        if task is None:
            return "I only know the tasks of the demo."
        turn = self._asked[task] % len(_REPLIES[task])
        self._asked[task] += 1
        return _REPLIES[task][turn]


def _verdict(prompt: str) -> str:
    # The text to be judged stands last; the task before it may quote another.
    return _VERDICTS[max(_VERDICTS, key=prompt.rfind)]


def _with_tools(request: ChatRequest) -> LLMResponse:
    """Get the arguments wrong first, read what the tool says, mend them, and answer."""
    observations = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not observations:
        wrong = {"start": "1969-07-20", "end": "9 November 1989"}
        return LLMResponse("", [ToolCall("call_1", "days_between", wrong)])
    if observations[-1].isdigit():
        return LLMResponse(f"{int(observations[-1]):,} days lie between the two.")
    right = {"start": "1969-07-20", "end": "1989-11-09"}
    return LLMResponse("", [ToolCall("call_2", "days_between", right)])
