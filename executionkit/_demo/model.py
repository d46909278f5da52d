"""The simulated model of the demo: scripted, and wrong now and then, as real ones are."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from executionkit.responses import LLMResponse, ToolCall
from executionkit.testing import Answer, ChatRequest, Fault

NAME = "simulated-model"

# The replies to a prompt that contains these words: the first time, the second time, and so on.
_REPLIES: dict[str, list[Answer]] = {
    "A bat and a ball": ["5 cents", "10 cents", Fault.status(503), "5 cents", "10 cents", "5 cents"],
    "Write a regular expression": [
        r"\d+-\d+-\d+",
        r"\d{4}-\d{2}-\d{2}",
        r"[0-9{4}-[0-9{2}",
        r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])",
    ],
    "why the sky is blue": [
        "Because of Rayleigh scattering.",
        "Air scatters blue light more than red light, so the sky looks blue.",
        "The sky is blue because it mirrors the sea.",
        "Sunlight has all colours in it, and the air bounces the blue part around the most, so blue "
        "comes to your eyes from all over the sky.",
    ],
    "Read this order": [
        '{"item": "Assam", "boxes": "a dozen", "express": true}',
        '{"item": "Assam", "boxes": 12, "express": true}',
    ],
    "The scones were dry": ["Dry scones, slow bill"],
    "answered the telephone": ["No answer"],
    "Forty minutes for a pot": ["Slow service"],
    "They forgot us": ["Forgotten guests"],
    "Sum up in one sentence": ["Guests wait too long, and some are forgotten."],
    "Write a tagline": [
        "Many minds, one answer.",
        "AI, but better.",
        "Many minds, one answer.",
        Fault.rate_limited(retry_after=0.2),
        "Ask twice, trust once.",
        "Many minds, one answer.",
    ],
    "Sharpen": [
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

# The words of a review that is not positive.
_NEGATIVE = ("dreadful", "cold")


class SimulatedModel:
    """Called by the endpoint with each request; returns the reply.

    Attributes:
        labels_left: How many reviews it labels before it is stuck; None if it is never stuck.
    """

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self.labels_left: int | None = None

    def __call__(self, request: ChatRequest) -> Answer:
        """Answer the request, or fail it."""
        if request.tools:
            return _with_tools(request)
        if "Judge how well" in request.prompt:
            return _verdict(request.prompt)
        if "Is this review positive" in request.prompt:
            return self._label(request.prompt)
        asked = " ".join(str(each["content"]) for each in request.messages if each["role"] == "user")
        task = next((words for words in _REPLIES if words in asked), None)
        if task is None:
            return "I only know the tasks of the demo."
        turn = self._asked[task] % len(_REPLIES[task])
        self._asked[task] += 1
        return _REPLIES[task][turn]

    def _label(self, prompt: str) -> Answer:
        if self.labels_left is not None:
            if not self.labels_left:
                return Fault.hang()
            self.labels_left -= 1
        return "negative" if any(word in prompt for word in _NEGATIVE) else "positive"


def _verdict(prompt: str) -> str:
    # The text to be judged stands last; the task before it may quote another.
    return _VERDICTS[max(_VERDICTS, key=prompt.rfind)]


def _with_tools(request: ChatRequest) -> LLMResponse:
    """Get the arguments wrong first, read what the tool says, mend them, and answer."""
    last = request.messages[-1]
    if request.tools[0]["function"]["name"] == "refund":
        return _refunding(last)
    if last["role"] == "user":
        return _calling(1, "days_between", start="1969-07-20", end="9 November 1989")
    if last["content"].isdigit():
        return LLMResponse(f"{int(last['content']):,} days lie between the two.")
    return _calling(2, "days_between", start="1969-07-20", end="1989-11-09")


def _refunding(last: Mapping[str, Any]) -> LLMResponse:
    """Ask for too much first."""
    if last["role"] == "user":
        is_first = "broken" in last["content"]
        return _calling(1, "refund", order=17, eur=80.0) if is_first else LLMResponse("It was order 17.")
    if "refunded" in last["content"]:
        return LLMResponse("I am sorry! 50 EUR are on their way; for the rest, please write to us.")
    return _calling(2, "refund", order=17, eur=50.0)


def _calling(number: int, name: str, **arguments: object) -> LLMResponse:
    return LLMResponse("", [ToolCall(f"call_{number}", name, arguments)])
