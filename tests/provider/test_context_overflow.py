"""A context overflow is known by a code of its own, in the forms of the servers there are."""

import json
from pathlib import Path
from typing import Any

import pytest

from executionkit.errors import LLMError, PermanentError
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Reply

BODIES = json.loads(Path(__file__).with_name("context_overflow.json").read_text(encoding="utf-8"))


def failed(status: int, body: Any) -> LLMError:
    return Reporter("llm.example", "m", ()).status(Reply(status, {}, json.dumps(body).encode()))


@pytest.mark.parametrize(("server", "status", "body"), BODIES["too long"])
def test_a_request_that_is_too_long_for_the_model(server: str, status: int, body: Any) -> None:
    found = failed(status, body)
    assert found.is_context_overflow, server
    assert type(found) is PermanentError
    assert found.code not in (None, str(status))


@pytest.mark.parametrize(("what", "status", "body"), BODIES["something else"])
def test_another_limit(what: str, status: int, body: Any) -> None:
    assert not failed(status, body).is_context_overflow, what
