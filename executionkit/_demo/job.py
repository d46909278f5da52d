"""The process that the demo kills: it labels the reviews, and writes a line when one of them is done."""

import asyncio
import os
import sys
import threading
from pathlib import Path

from executionkit._demo.connection import provider_of
from executionkit._demo.scenes import label_all


def end_with_the_demo() -> None:
    """End at once when the demo has gone, however it went: nothing else closes the other end of stdin."""
    os.read(0, 1)
    os._exit(1)


async def main(journal: Path) -> None:
    """Label all reviews."""
    async with provider_of(os.environ) as provider:
        await label_all(provider, journal, lambda row: print(row.id, flush=True))


if __name__ == "__main__":
    threading.Thread(target=end_with_the_demo, daemon=True).start()
    asyncio.run(main(Path(sys.argv[1])))
