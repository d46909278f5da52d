"""LlamaIndex and magentic."""

from typing import Any

from llama_index.core import get_response_synthesizer
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike
from magentic import OpenaiChatModel, prompt

from peers_suite.checking import DOWN, QUESTION, Film, expect, film_call, forever, price, theirs


def _llm(url: str) -> OpenAILike:
    return OpenAILike(
        model="m", api_base=url, api_key="-", is_chat_model=True, is_function_calling_model=True
    )


async def check_no_limit() -> None:
    """An agent without any limit stops with an error after twenty rounds."""

    async def run(url: str) -> Any:
        return await FunctionAgent(tools=[price], llm=_llm(url), streaming=False).run(QUESTION)

    found = await theirs(forever("price", item="tea"), run)
    expect((found.requests, found.raised), (20, "WorkflowRuntimeError"))


async def check_retries() -> None:
    """The server answers 503: twelve requests."""
    expect((await theirs(DOWN, lambda url: _llm(url).acomplete(QUESTION))).requests, 12)


async def check_refine() -> None:
    """The response mode "refine" makes one request for each chunk."""

    async def run(url: str) -> Any:
        synthesizer = get_response_synthesizer(llm=_llm(url), response_mode="refine")  # type: ignore[arg-type]  # takes words
        return await synthesizer.aget_response(QUESTION, ["one", "two", "three"])

    expect((await theirs(["Paris"], run)).requests, 3)


async def check_wrong_replies() -> None:
    """magentic raises after one request, or after three with max_retries=2."""
    for options, wanted in (({}, 1), ({"max_retries": 2}, 3)):

        async def run(url: str, options: Any = options) -> Any:
            @prompt("Name a film.", model=OpenaiChatModel("m", api_key="-", base_url=url), **options)
            def name_a_film() -> Film: ...

            return name_a_film()

        found = await theirs(film_call, run)
        expect((found.requests, found.raised), (wanted, "ToolSchemaParseError"))
