"""The errors of a provider: from a status to an error class, with the server's own explanation."""

import errno
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from executionkit._codes import OVERFLOW, says_no_system, says_too_long, says_unusable
from executionkit._json import loads
from executionkit._redaction import cleaned, possible, redact
from executionkit._secrets import Secret
from executionkit._text import describe, one_line, shorten
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider._codings import can_t_be_undone
from executionkit.provider._error_body import Told, an_error, is_html, read, title
from executionkit.provider._http.faults import ConnectError, ProxyRefusedError, TransportError, status_line
from executionkit.provider._http.proxies import Proxy
from executionkit.provider._http.transport import Dispatch, Reply
from executionkit.provider._retry_after import retry_after

_WORDS = 600
"""The most characters that an error shows of a server's explanation."""

_BODY = 8_000
"""The most characters that an error keeps of the body."""

_RETRYABLE_4XX = (408, 409, 425)
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS)
_PERMANENT_5XX = (501, 505)
_OF_THE_REQUEST = (400, 413, 422, 500)
"""The statuses under which servers say that a request is too long."""

_BAD_REQUEST = re.compile(r"\d+ validation errors?:\s+\{[^{}]*'loc': \('body'")
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED.*(?:issuer|self[ -]signed|first certificate)")
_SHOULD_RETRY = ("x-should-retry", "llm_provider-x-should-retry")
REQUEST_IDS = (
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

    def about(self, text: str) -> Self:
        """The same, without the secrets that can't be in `text`."""
        return self._replace(secrets=tuple(possible(text, self.secrets)))

    def clean(self, text: str, limit: int = _WORDS) -> str:
        """Put text from outside into one line, without credentials, cut to a readable length."""
        # UTF-16 read as UTF-8 has a NUL beside each letter, and no secret would be recognised in it.
        return shorten(one_line(cleaned(text.replace("\0", ""), self.secrets)), limit)

    def status(self, reply: Reply) -> LLMError:
        """The error for a reply whose status is not 2xx."""
        payload, told = self._explained(reply)
        words = told.words
        if 300 <= reply.status < 400:
            place = reply.headers.get("location", "")
            words = f"redirects are not followed{f', this one leads to {_place(place)}' if place else ''}"
        name = status_line(reply.status)
        # llama-cpp-python answers 500 to every fault that it finds in a request.
        if reply.status == 500 and _BAD_REQUEST.match(words):
            told = told._replace(meaning="final")
        text = f"{name}: {words}" if words else name
        return self._error(text, reply, payload, told, self._advice(reply.status))

    def error_within(self, reply: Reply, payload: object) -> LLMError:
        """The error for a reply with a 2xx status that reports a failure."""
        told = read(payload, _error_type(reply))
        return self._error(f"{reply.status} with an error: {told.words}", reply, payload, told)

    def unreadable(self, reply: Reply, why: str) -> LLMError:
        """The error for a reply with a 2xx status that is not a chat completion."""
        payload, told = self._explained(reply)
        text = f"{reply.status} with a body that is not a chat completion ({why})"
        text = f"{text}: {told.words}" if told.words else text
        if an_error(payload) is None:
            # A coding that can't be undone stays one, however often it is asked for.
            is_coded = payload is None and can_t_be_undone(reply.headers)
            told = told._replace(meaning="final" if is_coded else None, status=None)
        return self._error(text, reply, payload, told)

    def setup(self, exc: Exception) -> LLMError:
        """The error for an HTTP library that raised `exc` while it was set up, before any request.

        `exc` is its cause, unless a secret may be in it.
        """
        text = f"the connection to {self.host} can't be set up: {self.clean(describe(exc))}"
        if not isinstance(exc, (ImportError, OSError, ValueError)):
            text += ". The HTTP library that is installed may be too old, or too new."
        # Without descriptors or memory the attempt fails. A later one may succeed.
        is_passing = isinstance(exc, OSError) and exc.errno in _NO_ROOM
        error = (ProviderError if is_passing else PermanentError)(text, dispatched=False)
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
            # Neither an authority nor a date nor a name changes by asking again.
            kind = PermanentError if "CERTIFICATE_VERIFY_FAILED" in text else ProviderError
            return kind(text, dispatched=dispatch.sent)
        if fault.status == 407:
            text += f". {self._advice(407)}"
        is_final = _class_of(fault.status) is PermanentError
        refused = PermanentError if is_final else ProviderError
        return refused(text, status_code=fault.status, dispatched=dispatch.sent)

    def _advice(self, status: int) -> str:
        source = "" if self.proxy is None else f" in {self.proxy.variable}"
        return _ADVICE.get(status, "").format(model=self.model, source=source)

    def _explained(self, reply: Reply) -> tuple[object, Told]:
        text = reply.body.decode("utf-8", "replace").removeprefix("\ufeff")
        also = _error_type(reply)
        try:
            payload: object = loads(reply.body)
        except (ValueError, RecursionError):
            told = read(None, also)
            return None, told._replace(words=title(text) if is_html(text) else text)
        told = read(payload, also)
        return payload, told if told.words else told._replace(words=text)

    def _error(self, text: str, reply: Reply, payload: object, told: Told, advice: str = "") -> LLMError:
        headers = reply.headers
        is_open = 200 <= reply.status < 300 or reply.status in _OF_THE_REQUEST
        if is_open and told.meaning in (None, "final") and says_too_long(told.words[:_WORDS]):
            told = told._replace(meaning="context", code=OVERFLOW)
        elif is_open and told.meaning in (None, "final") and says_unusable(told.words[:_WORDS]):
            told = told._replace(meaning="generation")
        if not advice and is_open and told.meaning in (None, "final") and says_no_system(told.words[:_WORDS]):
            # Servers that render chat templates tell of this as 500, and would again.
            told = told._replace(meaning="final")
            advice = "If the model takes no system messages, set system_messages=False."
        kind = _verdict(
            reply.status, told, _first_of(headers, _SHOULD_RETRY).partition(",")[0].strip().lower()
        )
        request_id = _first_of(headers, REQUEST_IDS)
        is_limit = kind is RateLimitError or reply.status == 429
        wait = retry_after(headers, payload=payload, is_limit=is_limit)
        message = f"{self.host} answered {self.clean(text)}"
        if advice:
            message = f"{message.rstrip('.')}. {advice}"
        facts: dict[str, Any] = {
            "status_code": reply.status,
            "code": told.code and self.clean(told.code, 200),
            "request_id": self.clean(f"request id {request_id}", 200)[len("request id ") :] or None,
            "body": self._shown(reply.body),
        }
        if wait is not None:
            facts["retry_after"] = wait
        return kind(message, **facts)

    def _shown(self, body: bytes) -> str | None:
        text = body[: 4 * _BODY].decode("utf-8", "replace").removeprefix("\ufeff").replace("\0", "")
        return shorten(cleaned(text, self.secrets).strip(), _BODY) or None


def _first_of(headers: Mapping[str, str], names: Iterable[str]) -> str:
    return next(filter(None, (headers.get(name) for name in names)), "")


def _error_type(reply: Reply) -> str:
    """The code in the header in which AWS has it, without the namespace that follows."""
    return reply.headers.get("x-amzn-errortype", "").partition(":")[0]


def _whole_chain(exc: BaseException) -> str:
    """An exception and those beneath it, as Python code would show them."""
    links: list[BaseException] = []
    link: BaseException | None = exc
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return "\n".join(map(repr, links))


def _verdict(status: int, told: Told, asked: str) -> type[LLMError]:
    """The class of an error.

    Args:
        status: The HTTP status; of a 2xx the body says what happened.
        told: What the body says.
        asked: The header by which a server says whether to come back: "true", "false" or anything else.
    """
    is_limit = told.meaning == "limit"
    kind = _class_of(status)
    if 200 <= status < 300:
        kind = _class_of(told.status or 500)
    if is_limit and (status < 300 or status in (400, 403) or status >= 500):
        kind = RateLimitError
    elif told.meaning in ("funds", "context") or (told.meaning == "final" and _is_open(status)):
        kind = PermanentError
    if told.meaning == "generation":
        kind = ProviderError  # the next sample may do
        if 200 <= status < 300:
            return kind  # the header was written before the generation failed, or without regard to it
    if asked == "false":
        return PermanentError
    if asked == "true" and kind is PermanentError:
        return RateLimitError if is_limit or status == 429 else ProviderError
    return kind


def _is_open(status: int) -> bool:
    """Whether a status leaves it to the body to say whose fault it was."""
    return status == 500 or 200 <= status < 300


def _class_of(status: int) -> type[LLMError]:
    if status == 429:
        return RateLimitError
    if 300 <= status < 500 and status not in _RETRYABLE_4XX:
        return PermanentError
    return PermanentError if status in _PERMANENT_5XX else ProviderError


def _place(location: str) -> str:
    """A redirect's target, without the query and the userinfo: they may hold credentials."""
    from urllib.parse import urlsplit  # not at the top: importing the library must not load it

    try:
        parts = urlsplit(location)
    except ValueError:
        return "an unreadable URL"
    return f"{f'{parts.scheme}://' if parts.scheme else ''}{parts.netloc.rpartition('@')[2]}{parts.path}"
