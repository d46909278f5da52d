"""`ChatRequest`: one request as the endpoint received it; and the checks that a real server makes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executionkit._json import a_list, is_list, is_object
from executionkit.responses import text_of
from executionkit.testing._http import Reply, error_reply

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "cookie"})


def masked(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with `***` in place of every value that is a credential."""
    return {name: "***" if name in _SECRET_HEADERS else value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request as the endpoint received it. The properties read its body, whatever its shape.

    Attributes:
        number: The place in the order of arrival, from 1.
        target: The path of the request, with its query.
        headers: Names in lower case; credentials are masked.
        body: The parsed JSON body; None before it was read, or if it is not JSON.
    """

    number: int
    target: str
    headers: Mapping[str, str]
    body: Any = None

    def field(self, name: str) -> Any:
        """The body's field of this name; None if it is missing."""
        return self.body.get(name) if is_object(self.body) else None

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.field("model") or "")

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation."""
        return _dicts(self.field("messages"))

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tool schemas offered."""
        return _dicts(self.field("tools"))

    @property
    def max_tokens(self) -> int | None:
        """The most tokens that the reply may have, under either name of this field."""
        for name in ("max_completion_tokens", "max_tokens"):
            limit = self.field(name)
            if limit is not None:
                return limit if isinstance(limit, int) else None
        return None

    @property
    def streamed(self) -> bool:
        """Whether the client asks for a stream."""
        return self.field("stream") is True

    @property
    def wants_usage(self) -> bool:
        """Whether the client asks for the usage at the end of a stream."""
        options = self.field("stream_options")
        return is_object(options) and options.get("include_usage") is True

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        messages = self.messages
        return text_of(messages[-1].get("content")) if messages else ""


def refusal(request: ChatRequest, *, models: Sequence[str], reasoning_model: bool) -> Reply | None:
    """The error reply of a real server to a bad request; None for a good one."""
    body = request.body
    if not is_object(body):
        return error_reply(400, "The body must be a JSON object.", code="invalid_json")
    problem = _bad_field(body) or _bad_conversation(request.messages)
    if problem is not None:
        name, message = problem
        return error_reply(400, message, param=name, code="invalid_value")
    if models and request.model not in models:
        return error_reply(
            404, f"The model '{request.model}' does not exist.", param="model", code="model_not_found"
        )
    if reasoning_model:
        for name, hint in (
            ("max_tokens", " Use 'max_completion_tokens' instead."),
            ("temperature", " Only the default (1) value is supported."),
        ):
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
                return error_reply(400, message, param=name, code="unsupported_parameter")
    return None


def _bad_field(body: dict[str, Any]) -> tuple[str, str] | None:
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        return "model", "You must provide a model parameter."
    if not is_list(messages) or not messages or not all(map(is_object, messages)):
        return "messages", "'messages' must be a non-empty array of objects."
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        if limit is not None and (type(limit) is not int or limit < 1):
            return name, f"'{name}' must be an integer of at least 1, not {limit!r}."
    temperature = body.get("temperature")
    if temperature is not None and (type(temperature) not in (int, float) or not 0 <= temperature <= 2):
        return "temperature", f"'temperature' must be a number between 0 and 2, not {temperature!r}."
    if "tools" in body and not _are_tools(body["tools"]):
        return (
            "tools",
            "'tools' must be a non-empty array of {'type': 'function', 'function': {'name': ...}}.",
        )
    if not isinstance(body.get("stream", False), (bool, type(None))):
        return "stream", "'stream' must be a boolean."
    if body.get("stream_options") is not None and not body.get("stream"):
        return "stream_options", "'stream_options' is only allowed when 'stream' is enabled."
    return None


def _are_tools(tools: object) -> bool:
    return is_list(tools) and bool(tools) and all(map(_is_tool, tools))


def _is_tool(tool: object) -> bool:
    function = tool.get("function") if is_object(tool) else None
    return is_object(function) and bool(function.get("name"))


def _bad_conversation(messages: list[dict[str, Any]]) -> tuple[str, str] | None:
    """Require a tool message for every tool call right after it, and no other tool messages."""
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        role, where = message.get("role"), f"messages[{index}]"
        if role not in ("system", "developer", "user", "assistant", "tool"):
            return f"{where}.role", f"Invalid role {role!r}."
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                text = "A message with role 'tool' must answer one of the preceding 'tool_calls'."
                return f"{where}.tool_call_id", text
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return where, f"No tool message answers the tool calls {sorted(open_calls)}."
        calls = _dicts(message.get("tool_calls"))
        if message.get("content") is None and not calls:
            return f"{where}.content", "A message without tool calls must have content."
        open_calls = {str(call.get("id")) for call in calls}
    if open_calls:
        return "messages", f"No tool message answers the tool calls {sorted(open_calls)}."
    return None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in a_list(value) if is_object(item)]
