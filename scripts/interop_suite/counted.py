"""Starting llama-cpp-python's server on a GGUF file, with its ledger, and reading that."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from executionkit import TokenUsage
from interop_suite.llama_cpp import KEY, interpreter
from interop_suite.processes import get, serving

MODEL = "model"
"""The model with the chat template of its own."""
THREADS = max(1, (os.cpu_count() or 1) // 2)
"""Threads of the model. With one for each core, they wait for each other where anything else runs."""
TOOLS = "tools"
"""The same, with a template that has a place for tools."""


class Generation(NamedTuple):
    """A text that the model made.

    Attributes:
        prompt: The tokens it read.
        made: The tokens it made so far.
        ended: Whether it makes no more.
    """

    prompt: int
    made: int
    ended: bool


class Ledger(NamedTuple):
    """The counts of a server.

    Attributes:
        calls: The requests that came in.
        open: How many of them are being worked on, or wait.
        told: The tokens of the replies that were not streamed, as the server told them.
        generations: Every text that the model made, whether or not it was heard.
    """

    calls: int
    open: int
    told: TokenUsage
    generations: list[Generation]

    @property
    def made(self) -> TokenUsage:
        """The calls, and the tokens that the model read and made."""
        read, made = (sum(counts) for counts in zip((0, 0), *(g[:2] for g in self.generations), strict=True))
        return TokenUsage(read, made, self.calls)

    @property
    def running(self) -> list[Generation]:
        """The texts that are being made."""
        return [generation for generation in self.generations if not generation.ended]

    @classmethod
    def of(cls, port: int) -> "Ledger":
        """The ledger of the server on a port, as it is now.

        Raises:
            OSError: Nothing answers.
        """
        page = json.loads(get(port, "/ledger")[2])
        told = page["told"]
        generations = [Generation(prompt, made, bool(ended)) for prompt, made, ended in page["generations"]]
        return cls(page["calls"], page["open"], TokenUsage(told[0], told[1], page["calls"]), generations)


@contextmanager
def counted(
    cache: Path, weights: Path, *, context: int, port: int | None = None, politely: bool = True
) -> Iterator[int]:
    """Serve a GGUF file as long as the block lasts, one request after the other; the port is yielded.

    Raises:
        StartError: The server does not come up.
    """
    home = cache / "counted"
    home.mkdir(parents=True, exist_ok=True)
    program = Path(__file__).with_name("counted_server.py")

    def command(port: int) -> list[str | Path]:
        models = [
            {
                "model": str(weights),
                "model_alias": alias,
                "n_ctx": context,
                "n_threads": THREADS,
                "logits_all": False,
                "verbose": False,
            }
            for alias in (MODEL, TOOLS)
        ]
        server = {"host": "127.0.0.1", "port": port, "api_key": KEY, "interrupt_requests": False}
        settings = home / f"{port}.json"
        settings.write_text(json.dumps({**server, "models": models}))
        # -P: a module beside the program is called llama_cpp, too.
        return [interpreter(cache), "-P", program, settings]

    log = home / f"{weights.stem}.log"
    with serving(command, log=log, ready="/openapi.json", port=port, politely=politely) as number:
        yield number
