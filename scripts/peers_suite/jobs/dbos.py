"""DBOS on SQLite: a workflow of one step for each row."""

import asyncio
import sys

from dbos import DBOS, SetWorkflowID
from openai import AsyncOpenAI

url, directory, rows = sys.argv[1:]
DBOS(config={"name": "rows", "system_database_url": f"sqlite:///{directory}/dbos.sqlite"})
client = AsyncOpenAI(base_url=url, api_key="-")


@DBOS.step()
async def ask(row: int) -> str:
    """One question."""
    reply = await client.chat.completions.create(
        model="my-model", messages=[{"role": "user", "content": f"row {row}"}]
    )
    return reply.choices[0].message.content or ""


@DBOS.workflow()
async def work(row: int) -> str:
    """One row."""
    return await ask(row)


async def main() -> None:
    """Work through the rows; a workflow that is there already keeps its result."""
    queue = await DBOS.register_queue_async("rows", worker_concurrency=64)
    handles = []
    for row in range(int(rows)):
        with SetWorkflowID(f"row-{row}"):
            handles.append(await queue.enqueue_async(work, row))
    for handle in handles:
        await handle.get_result()


DBOS.launch()
asyncio.run(main())
DBOS.destroy()
