"""The errors of a provider: from a status to an error class, with the server's own explanation."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from executionkit._json import a_list, a_text, an_object
from executionkit._text import beginning, describe, one_line, shorten
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider._http.faults import ConnectError, ProxyRefusedError, TransportError, status_line
from executionkit.provider._http.proxies import Proxy
from executionkit.provider._http.transport import Dispatch, Reply
from executionkit.provider._redaction import redact
from executionkit.provider._retry_after import retry_after
from executionkit.provider._secrets import Secret

_WORDS = 600
"""The most characters that an error shows of a server's explanation."""

_RETRYABLE_4XX = (408, 409, 425)
_PERMANENT_5XX = (501, 505)
_OUT_OF_FUNDS = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_BAD_REQUEST = re.compile(r"\d+ validation errors?:\s+\{[^{}]*'loc': \('body'")
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED.*(?:issuer|self[ -]signed|first certificate)")
_REQUEST_IDS = (
    *("x-request-id", "request-id", "apim-request-id", "x-ms-request-id", "x-amzn-requestid"),
    "x-litellm-call-id",
)

_ADVICE = {
    401: "Check api_key.",
    402: "Check the account's balance.",
    403: "The key may not be allowed to use this model.",
    404: "Check base_url (requests go to its /chat/completions) and model {model!r}.",
    405: "Check base_url: requests go to its /chat/completions.",
    407: "Check the user name and password of the proxy{source}.",
}

# The statuses that error codes stand for, where a code comes without a status that tells.
_CODES = {
    429: ("rate_limit", "too_many_requests", "throttl"),
    400: (
        *_OUT_OF_FUNDS,
        "invalid_request",
        "authentication",
        "invalid_api_key",
        "permission",
        "not_found",
        "context_length",
        "content_filter",
        "content_policy",
    ),
}


class Reporter(NamedTuple):
    """Writes the errors of one provider.

    Attributes:
        host: The server, for the message.
        model: The model asked for, for the message.
        secrets: Removed from every message.
        proxy: The proxy that requests go through, if there is one.
    """

    host: str
    model: str
    secrets: tuple[Secret, ...]
    proxy: Proxy | None = None

    def through(self, proxy: Proxy | None) -> Self:
        """The same for requests through a proxy; its secrets are removed as well."""
        return self if proxy is None else self._replace(proxy=proxy).knowing(proxy.secrets)

    def knowing(self, secrets: Iterable[Secret]) -> Self:
        """The same, removing further secrets."""
        return self._replace(secrets=(*self.secrets, *secrets))

    def clean(self, text: str, limit: int = _WORDS) -> str:
        """Put text from outside into one line, without credentials, cut to a readable length."""
        # UTF-16 read as UTF-8 has a NUL beside each letter, and no secret would be recognised in it.
        return shorten(one_line(redact(beginning(text.replace("\0", "")), self.secrets)), limit)

    def status(self, reply: Reply) -> LLMError:
        """The error for a reply whose status is not 2xx."""
        words, code = self._explained(reply)
        if 300 <= reply.status < 400:
            place = reply.headers.get("location", "")
            words = f"redirects are not followed{f', this one leads to {_place(place)}' if place else ''}"
        name = status_line(reply.status)
        # llama-cpp-python answers 500 to every fault that it finds in a request.
        is_refusal = reply.status == 500 and _BAD_REQUEST.match(words) is not None
        kind = PermanentError if is_refusal else _class_of(reply.status, code)
        advice = self._advice(reply.status)
        return self._error(kind, f"{name}: {words}" if words else name, reply, code, advice)

    def error_within(self, reply: Reply, payload: object) -> LLMError:
        """The error for a reply with a 2xx status that reports a failure."""
        words, code = _explanation(payload)
        return self._error(
            _class_of(_status_of(code), code), f"{reply.status} with an error: {words}", reply, code
        )

    def unreadable(self, reply: Reply, why: str) -> LLMError:
        """The error for a reply with a 2xx status that is not a chat completion."""
        words, code = self._explained(reply)
        text = f"{reply.status} with a body that is not a chat completion ({why})"
        return self._error(ProviderError, f"{text}: {words}" if words else text, reply, code)

    def setup(self, exc: Exception) -> LLMError:
        """The error for an HTTP library that raised `exc` while it was set up, before any request.

        `exc` is its cause, unless a secret may be in it.
        """
        text = f"the connection to {self.host} can't be set up: {self.clean(describe(exc))}"
        if not isinstance(exc, (ImportError, OSError, ValueError)):
            text += ". The HTTP library that is installed may be too old, or too new."
        error = PermanentError(text, dispatched=False)
        said = _whole_chain(exc)
        if redact(said, self.secrets) == said:
            error.__cause__ = exc
        return error

    def fault(self, fault: TransportError, dispatch: Dispatch) -> LLMError:
        """The error for a request without a complete reply."""
        text = f"{self.host}: {self.clean(str(fault))}"
        if isinstance(fault, ConnectError) and self.proxy is not None:
            text += f" through {self.proxy}"
        if not isinstance(fault, ProxyRefusedError):
            if _UNTRUSTED.search(text):
                text += ". SSL_CERT_FILE can name a file with the authorities to trust."
            return ProviderError(text, dispatched=dispatch.sent)
        if fault.status == 407:
            text += f". {self._advice(407)}"
        is_final = _class_of(fault.status, None) is PermanentError
        kind = PermanentError if is_final else ProviderError
        return kind(text, status_code=fault.status, dispatched=dispatch.sent)

    def _advice(self, status: int) -> str:
        source = "" if self.proxy is None else f" in {self.proxy.variable}"
        return _ADVICE.get(status, "").format(model=self.model, source=source)

    def _explained(self, reply: Reply) -> tuple[str, str | None]:
        text = reply.body.decode("utf-8", "replace").removeprefix("\ufeff")
        try:
            payload = json.loads(reply.body)
        except (ValueError, RecursionError):
            return (_title(text) if _is_html(text) else text), None
        words, code = _explanation(payload)
        return words or text, code

    def _error(
        self, kind: type[LLMError], text: str, reply: Reply, code: str | None, advice: str = ""
    ) -> LLMError:
        request_id = next(filter(None, (reply.headers.get(name) for name in _REQUEST_IDS)), None)
        wait = retry_after(reply.headers)
        message = f"{self.host} answered {self.clean(text)}"
        if advice:
            message = f"{message.rstrip('.')}. {advice}"
        facts: dict[str, Any] = {
            "status_code": reply.status,
            "code": code and self.clean(code, 200),
            "request_id": request_id and self.clean(f"request id {request_id}", 200)[len("request id ") :],
        }
        if wait is not None:
            facts["retry_after"] = wait
        return kind(message, **facts)


def _whole_chain(exc: BaseException) -> str:
    """An exception and those beneath it, as Python code would show them."""
    links: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return "\n".join(map(repr, links))


def _class_of(status: int, code: str | None) -> type[LLMError]:
    if status == 429:
        return PermanentError if code in _OUT_OF_FUNDS else RateLimitError
    if 300 <= status < 500 and status not in _RETRYABLE_4XX:
        return PermanentError
    return PermanentError if status in _PERMANENT_5XX else ProviderError


def _status_of(code: str | None) -> int:
    """The status that an error code stands for; 500 for an unknown one."""
    if code is None:
        return 500
    if code.isascii() and code.isdigit() and len(code) == 3:
        return int(code)
    return next((status for status, parts in _CODES.items() if any(part in code for part in parts)), 500)


def _explanation(payload: object) -> tuple[str, str | None]:
    """Find the message and the code in an error body, in the forms that servers use.

    `{"error": {"message", "code", "type"}}`, the same in a list, `{"error": "text"}`, `{"message"}`,
    `{"detail": "text"}`, `{"detail": [{"loc", "msg"}]}`.
    """
    body = an_object(next(iter(a_list(payload)), payload))
    if body is None:
        return "", None
    error = body.get("error")
    facts = an_object(error) or body
    codes = [str(facts[name]) for name in ("code", "type", "status") if _is_code(facts.get(name))]
    # Being out of funds decides whether a retry makes sense, so that code wins over the others.
    code = next((code for code in codes if code in _OUT_OF_FUNDS), codes[0] if codes else None)
    candidates = (facts.get("message"), facts.get("msg"), facts.get("detail"), error, body.get("errors"))
    return next((words for words in map(_words, candidates) if words), ""), code


def _is_code(value: object) -> bool:
    return bool(a_text(value)) or (isinstance(value, int) and not isinstance(value, bool))


def _words(value: object) -> str:
    fact = an_object(value)
    if fact is None:
        return a_text(value) or "; ".join(filter(None, map(_words, a_list(value))))
    message = a_text(fact.get("msg"))
    if not message:
        return json.dumps(fact)
    place = ".".join(map(str, a_list(fact.get("loc"))))
    return f"{place}: {message}" if place else message


def _place(location: str) -> str:
    """A redirect's target, without the query and the userinfo: they may hold credentials."""
    from urllib.parse import urlsplit  # not at the top: importing the library must not load it

    try:
        parts = urlsplit(location)
    except ValueError:
        return "an unreadable URL"
    return f"{f'{parts.scheme}://' if parts.scheme else ''}{parts.netloc.rpartition('@')[2]}{parts.path}"


def _is_html(text: str) -> bool:
    start = text.lstrip()[:1000].lower()
    return start.startswith("<") and ("<html" in start or start.startswith("<!doctype"))


def _title(text: str) -> str:
    """Name an HTML page by its title, if it has one."""
    import html

    lower = text.lower()
    start = lower.find(">", lower.find("<title")) + 1 if "<title" in lower else 0
    end = lower.find("</title", start)
    title = html.unescape(text[start : min(end, start + _WORDS)]).strip() if 0 < start < end else ""
    return f"an HTML page, {title!r}" if title else "an HTML page"
