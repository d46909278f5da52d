"""inspect_ai's `eval_set`, with its log directory."""

import os
import sys

url, directory, rows = sys.argv[1:]
os.environ |= {"LOCAL_API_KEY": "-", "LOCAL_BASE_URL": url}

from inspect_ai import Task, eval_set  # noqa: E402 - it reads the environment
from inspect_ai.dataset import Sample  # noqa: E402 - as above
from inspect_ai.solver import generate  # noqa: E402 - as above

questions = [Sample(id=row, input=f"row {row}", target="Paris") for row in range(int(rows))]
eval_set(
    Task(name="rows", dataset=questions, solver=generate()),
    model="openai-api/local/my-model",
    log_dir=directory,
    max_connections=64,
    max_samples=64,
    display="none",
)
