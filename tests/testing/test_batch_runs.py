"""`run_batch`, the batch service of the test kit."""

import json
from pathlib import Path
from typing import Any

import pytest

from executionkit.testing import Fault, LocalEndpoint, run_batch


def line(custom_id: str, **fields: Any) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": custom_id}]}
    whole = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body, **fields}
    return json.dumps(whole) + "\n"


def lines_of(path: Path) -> dict[str, dict[str, Any]]:
    return {found["custom_id"]: found for found in map(json.loads, path.read_text("utf-8").splitlines())}


def test_a_batch_is_answered_in_another_order_with_errors_apart(tmp_path: Path) -> None:
    requests, responses, errors = (tmp_path / name for name in ("in.jsonl", "out.jsonl", "errors.jsonl"))
    requests.write_text("".join(map(line, "abcdef")), encoding="utf-8")

    def model(request: Any) -> Any:
        return Fault.status(429) if request.prompt == "c" else f"{request.prompt}!"

    with LocalEndpoint(model) as endpoint:
        sent = run_batch(endpoint.base_url, requests, responses, errors=errors, expires="e".__eq__)
        assert sent == endpoint.ledger.calls == 5
    good, bad = lines_of(responses), lines_of(errors)
    assert {
        name: found["response"]["body"]["choices"][0]["message"]["content"] for name, found in good.items()
    } == {name: f"{name}!" for name in "abdf"}
    assert [*good] != [*"abdf"]
    assert bad["c"]["response"]["status_code"] == 429
    assert (bad["e"]["response"], bad["e"]["error"]["code"]) == (None, "batch_expired")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (line("a") * 2, "line 2: custom_id 'a' was there before"),
        (line("a" * 65), "1 to 64 characters"),
        (line("a", url="/v1/embeddings"), "not a request to"),
        ("{}\n", "not a request to"),
    ],
)
def test_a_file_that_a_service_would_refuse_is_refused(tmp_path: Path, text: str, why: str) -> None:
    requests = tmp_path / "in.jsonl"
    requests.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=why):
        run_batch("http://127.0.0.1:9/v1", requests, tmp_path / "out.jsonl")
