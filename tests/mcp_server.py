"""An MCP server over stdio that needs no SDK, to do what a server of the SDK never would. The tests start it.

Each of its tools misbehaves as its name says. `seen` answers with the methods of all messages so far. The
argument of the program is how it behaves: "broken_list", "pages", "hangs", "exits".
"""

import json
import os
import sys
from typing import Any

HOW = sys.argv[1] if len(sys.argv) > 1 else ""
OBJECT = {"type": "object"}
NAMES = ("die", "hang", "bad_bytes", "big", "seen", "echo", "no_json", "no_result", "refuse")
METHODS: list[str] = []


def send(message: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}).encode())


def write(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def tools(cursor: str | None) -> dict[str, Any]:
    if HOW == "pages":
        start = int(cursor or 0)
        page = {"tools": [{"name": f"tool_{n}", "inputSchema": OBJECT} for n in range(start, start + 100)]}
        return page if start == 200 else {**page, "nextCursor": str(start + 100)}
    if HOW == "broken_list":
        listed: list[Any] = [
            {"name": "good", "inputSchema": OBJECT},
            {"name": "no_type", "inputSchema": {"properties": {"item": {"type": "string"}}}},
            {"name": "an_array", "inputSchema": {"type": "array"}},
            {"name": "no_schema"},
            {"inputSchema": OBJECT},
            "no object",
            {"name": "a_number", "description": 7, "inputSchema": OBJECT},
        ]
        return {"tools": listed}
    return {"tools": [{"name": name, "inputSchema": OBJECT} for name in NAMES]}


def call(number: Any, name: str, arguments: dict[str, Any]) -> None:
    match name:
        case "die":
            os._exit(1)
        case "hang":
            pass
        case "bad_bytes":
            text = b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"caf\xe9"}]}}'
            write(text % number)
        case "no_json":
            write(b"Traceback (most recent call last):")
            answer(number, "after the noise")
        case "no_result":
            send({"id": number, "result": {"content": "not a list"}})
        case "refuse":
            send({"id": number, "error": {"code": -32000, "message": "the shop is closed"}})
        case "big":
            answer(number, "x" * 5_000_000)
        case "seen":
            answer(number, " ".join(METHODS))
        case _:
            answer(number, json.dumps(arguments))


def answer(number: Any, text: str) -> None:
    send({"id": number, "result": {"content": [{"type": "text", "text": text}]}})


for line in sys.stdin:
    message = json.loads(line)
    METHODS.append(message["method"])
    parameters = message.get("params") or {}
    if HOW == "exits":
        sys.exit(3)
    if "id" not in message or HOW == "hangs":
        continue
    if message["method"] == "initialize":
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "raw", "version": "1"}}
        send({"id": message["id"], "result": {"protocolVersion": parameters["protocolVersion"], **about}})
    elif message["method"] == "tools/list":
        send({"id": message["id"], "result": tools(parameters.get("cursor"))})
    elif message["method"] == "tools/call":
        call(message["id"], parameters["name"], parameters.get("arguments") or {})
    else:
        send({"id": message["id"], "error": {"code": -32601, "message": "no such method"}})
