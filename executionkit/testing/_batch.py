"""`run_batch`: a batch service without the waiting, for tests of what is done offline."""

import json
import random
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from executionkit._json import is_object

_PATH: Final = "/v1/chat/completions"


def run_batch(
    base_url: str,
    requests: str | Path,
    responses: str | Path,
    *,
    errors: str | Path | None = None,
    expires: Callable[[str], bool] | None = None,
    api_key: str = "",
    seed: int = 0,
) -> int:
    """Run a batch file of OpenAI's format against an endpoint, and write what a batch service would.

    Requests are sent one after the other, and the lines of the output are in another order than they were.

    Example:
        ```python
        import json
        from pathlib import Path
        from tempfile import TemporaryDirectory

        from executionkit.testing import LocalEndpoint, run_batch

        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        line = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        with TemporaryDirectory() as folder, LocalEndpoint(["Hello."]) as endpoint:
            requests, responses = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
            requests.write_text(json.dumps(line))
            assert run_batch(endpoint.base_url, requests, responses) == 1
            assert "Hello." in responses.read_text()
        ```

    Args:
        base_url: The URL of the endpoint, such as `LocalEndpoint.base_url`. It must begin with http://.
        requests: The batch file.
        responses: Where the output goes.
        errors: Where requests go that were answered by an error or have expired, as OpenAI has it. Defaults
            to the output.
        expires: Whether a request expires, by its `custom_id`. Those are not sent.
        api_key: Sent as `Authorization: Bearer`.
        seed: Decides the order of the lines.

    Returns:
        The number of requests that were sent.

    Raises:
        ValueError: A line is no request to `/v1/chat/completions`, or two have the same `custom_id`.
    """
    lines = _read(Path(requests))
    outcomes: list[tuple[bool, dict[str, Any]]] = []
    sent = 0
    parts = urlsplit(base_url)
    link = HTTPConnection(parts.hostname or "", parts.port)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
    try:
        for custom_id, body in lines:
            if expires is not None and expires(custom_id):
                why = "This request could not be executed before the completion window expired."
                outcomes.append((False, _line(custom_id, None, {"code": "batch_expired", "message": why})))
                continue
            sent += 1
            try:
                link.request("POST", f"{parts.path}/chat/completions", json.dumps(body).encode(), headers)
                reply = link.getresponse()
                status, text = reply.status, reply.read()
            except (OSError, HTTPException) as exc:
                link.close()
                error = {"code": "request_timeout", "message": type(exc).__name__}
                outcomes.append((False, _line(custom_id, None, error)))
                continue
            response = {
                "status_code": status,
                "request_id": f"req-{sent}",
                "body": _parsed(text),
            }
            outcomes.append((status == 200, _line(custom_id, response, None)))
    finally:
        link.close()
    random.Random(seed).shuffle(outcomes)  # noqa: S311 - no secret
    if errors is None:
        _write(Path(responses), (line for _, line in outcomes))
    else:
        _write(Path(responses), (line for is_good, line in outcomes if is_good))
        _write(Path(errors), (line for is_good, line in outcomes if not is_good))
    return sent


def _read(path: Path) -> list[tuple[str, dict[str, Any]]]:
    found: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line = _parsed(text.encode())
        if not is_object(line) or line.get("method") != "POST" or line.get("url") != _PATH:
            raise ValueError(f"{path}, line {number}: not a request to {_PATH}")
        custom_id, body = line.get("custom_id"), line.get("body")
        if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 64 or not is_object(body):
            raise ValueError(f"{path}, line {number}: it needs a custom_id of 1 to 64 characters, and a body")
        if custom_id in found:
            raise ValueError(f"{path}, line {number}: custom_id {custom_id!r} was there before")
        found[custom_id] = body
    return list(found.items())


def _parsed(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def _line(custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any]:
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": response, "error": error}


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
