"""llama-cpp-python's server with a count of its own: `python counted_server.py SETTINGS.json`.

Its page /ledger has three counts that don't know of each other: the requests that came in, the usage that
the replies told, and the tokens that the model read and made, generation by generation, also those that were
sent to no one. It runs with the server's interpreter, which has `llama_cpp`, `gguf` and `uvicorn`.
"""

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import gguf
import uvicorn
from llama_cpp import (  # type: ignore[import-not-found]  # installed beside the server, and only there
    Llama,
    llama_vocab_is_eog,
)
from llama_cpp.server.app import create_app  # type: ignore[import-not-found]  # as above
from llama_cpp.server.settings import (  # type: ignore[import-not-found]  # as above
    ConfigFileSettings,
    ServerSettings,
)

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


class Ledger:
    """What came in, what was told, and what the model did.

    Attributes:
        calls: The requests for a chat completion.
        open: How many of them are being worked on, or wait.
        told: The tokens, input and output, of the replies that were not streamed, as they told them.
        generations: For each generation the tokens of its prompt, the tokens made so far without the one that
            ends the text, and whether it has ended.
    """

    def __init__(self) -> None:
        self.calls = self.open = 0
        self.told = [0, 0]
        self.generations: list[list[int]] = []

    def watch_the_model(self) -> None:
        """Count what every model of this process generates from now on."""
        generate = Llama.generate

        def counted(model: Any, tokens: list[int], *arguments: Any, **named: Any) -> Iterator[int]:
            # The model makes one text at a time. One that was left is closed when Python gets round to it.
            for earlier in self.generations:
                earlier[2] = 1
            entry = [len(tokens), 0, 0]
            self.generations.append(entry)
            try:
                for token in generate(model, tokens, *arguments, **named):
                    entry[1] += not llama_vocab_is_eog(model._model.vocab, token)
                    yield token
            finally:
                entry[2] = 1

        Llama.generate = counted

    def around(self, app: App) -> App:
        """The app with its requests counted, and with the page of the ledger."""

        async def counting(scope: Message, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if path == "/ledger":
                await self._show(send)
            elif scope.get("method") == "POST" and path.endswith("/chat/completions"):
                self.calls += 1
                self.open += 1
                try:
                    await app(scope, receive, self._reading(send))
                finally:
                    self.open -= 1
            else:
                await app(scope, receive, send)

        return counting

    async def _show(self, send: Send) -> None:
        page = {"calls": self.calls, "open": self.open, "told": self.told, "generations": self.generations}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(page).encode()})

    def _reading(self, send: Send) -> Send:
        body = bytearray()

        async def reading(message: Message) -> None:
            body.extend(message.get("body", b""))
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._note(bytes(body))
            await send(message)

        return reading

    def _note(self, body: bytes) -> None:
        try:
            usage = json.loads(body)["usage"]
        except (ValueError, KeyError, TypeError):
            return  # a stream, or an error
        self.told[0] += usage["prompt_tokens"]
        self.told[1] += usage["completion_tokens"]


def knows_tools(model: str) -> bool:
    """Whether the chat template of a GGUF file has a place for tools."""
    template = gguf.GGUFReader(model).fields.get("tokenizer.chat_template")
    return template is not None and "tools" in str(template.contents())


def serve(settings: Path) -> None:
    """Serve until the process is ended."""
    config = ConfigFileSettings.model_validate_json(settings.read_bytes())
    ledger = Ledger()
    ledger.watch_the_model()
    for model in config.models:
        # The template of others would drop the tools; this format of the server's has words for them.
        if model.model_alias == "tools" and not knows_tools(model.model):
            model.chat_format = "chatml-function-calling"
    app = create_app(server_settings=ServerSettings.model_validate(config), model_settings=config.models)
    uvicorn.run(ledger.around(app), host=config.host, port=config.port)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
