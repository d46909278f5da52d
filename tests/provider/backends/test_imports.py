"""Importing the library loads no HTTP library; nor does making a Provider."""

import subprocess
import sys

import pytest

# Not ssl: asyncio imports it.
HEAVY = ("httpx", "httpx2", "aiohttp", "httpcore", "anyio", "http.client", "urllib.request", "email")


@pytest.mark.parametrize(
    "code",
    [
        "import executionkit",
        "import executionkit.provider",
        "from executionkit import Provider; Provider('https://llm.example/v1', 'm', 'k', backend='stdlib')",
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    check = f"{code}; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=50
    )
    assert done.stdout.strip() == "[]"
