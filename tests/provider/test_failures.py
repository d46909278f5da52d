"""From a status and a body to an error that says what happened, in the server's own words."""

import json
from typing import Any

import pytest

from executionkit._secrets import Secret
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Reply

KEY = "sk-very-secret-key-0123456789"
REPORT = Reporter("llm.example", "gpt-x", (Secret(KEY),))


def error(status: int, body: Any = "", **headers: str) -> LLMError:
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    return REPORT.status(
        Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
    )


def expected(status: int) -> type[LLMError]:
    if status == 429:
        return RateLimitError
    if (300 <= status < 500 and status not in (408, 409, 425)) or status in (501, 505):
        return PermanentError
    return ProviderError


def test_every_status() -> None:
    for status in (0, 100, 199, *range(300, 600), 600, 999):
        found = error(status)
        assert (type(found), found.status_code) == (expected(status), status)
        assert str(found).startswith(f"llm.example answered {status}")


@pytest.mark.parametrize(
    "place", [{"code": "insufficient_quota"}, {"code": "x", "type": "insufficient_quota"}]
)
def test_an_exhausted_quota_is_no_rate_limit(place: dict[str, str]) -> None:
    assert type(error(429, {"error": {"message": "m", **place}})) is PermanentError


def test_retry_after_where_the_server_says_and_where_it_does_not() -> None:
    assert error(429, retry_after="7").retry_after == 7.0
    assert error(429).retry_after == 1.0
    assert error(429, retry_after="soon").retry_after == 1.0
    assert error(503, retry_after="7").retry_after == 7.0
    assert error(408, retry_after_ms="1500").retry_after == 1.5
    assert error(503).retry_after is None


WORDS: list[tuple[Any, str]] = [
    ({"error": {"message": "the words", "type": "t"}}, "the words"),
    ([{"error": {"message": "the words", "code": 400}}], "the words"),
    ({"error": "the words"}, "the words"),
    ({"message": "the words"}, "the words"),
    ({"message": ["the", "words"]}, "the; words"),
    ({"detail": "the words"}, "the words"),
    (
        {"detail": [{"loc": ["body", "n", 0], "msg": "the words"}, {"msg": "more"}]},
        "body.n.0: the words; more",
    ),
    ({"error": {"msg": "the words"}}, "the words"),
    ({"error": {"odd": ["the words"]}}, '{"odd": ["the words"]}'),
    ({"errors": ["the words"]}, "the words"),
    ({"odd": "the words"}, '{"odd": "the words"}'),
    ([], "[]"),
    ("the words", "the words"),
    (b"\xef\xbb\xbfthe \xff words\r\n\x1b[31m", "the \ufffd words [31m"),
    (
        "<!DOCTYPE html><html><head><title>\n502 Bad &amp; ugly</title></head></html>",
        "an HTML page, '502 Bad & ugly'",
    ),
    ("<html><body>nothing</body></html>", "an HTML page"),
    ("<html><title>never ends", "an HTML page"),
    ("<error>xml</error>", "<error>xml</error>"),
]


@pytest.mark.parametrize(("body", "words"), WORDS)
def test_the_servers_own_words(body: Any, words: str) -> None:
    assert str(error(500, body)) == f"llm.example answered 500 Internal Server Error: {words}"


def test_what_to_do_about_it() -> None:
    assert str(error(401, {"error": "bad key."})).endswith("Unauthorized: bad key. Check api_key.")
    assert "model 'gpt-x'" in str(error(404))
    assert str(error(404)).startswith("llm.example answered 404 Not Found. Check base_url")


def test_the_facts_on_the_error() -> None:
    found = error(400, {"error": {"message": "m", "code": "c", "type": "t"}}, x_request_id="req_1")
    assert (found.status_code, found.code, found.request_id, found.dispatched) == (400, "c", "req_1", True)
    assert error(400, {"type": "t", "message": "m"}).code == "t"
    assert error(400, {"error": {"code": 17}}).code == "17"
    assert error(400, {"error": {"code": True}}).code is None
    assert error(400, request_id="r").request_id == "r"
    assert error(400, apim_request_id="a").request_id == "a"
    assert error(400).request_id is None
    identifier = "0123456789abcdef0123456789abcdef"
    assert error(400, x_request_id=identifier).request_id == identifier


def test_no_fact_holds_the_key() -> None:
    found = error(400, {"error": {"message": KEY, "code": KEY}}, x_request_id=KEY, location=KEY)
    assert KEY not in repr([str(found), found.args, vars(found)])


def test_a_redirect_names_its_target_without_what_may_be_secret() -> None:
    found = error(301, "moved", location="https://user:pw@other.example/v1?sig=abc#x")
    assert str(found) == (
        "llm.example answered 301 Moved Permanently: redirects are not followed, "
        "this one leads to https://other.example/v1"
    )
    assert str(error(302, location="/elsewhere?x")).endswith("leads to /elsewhere")
    assert str(error(302, location="http://[::1/")).endswith("leads to an unreadable URL")
    assert str(error(304)).endswith("redirects are not followed")


def test_long_explanations_are_cut_after_redaction() -> None:
    # Cut first, the key's beginning would be left over and be no key any more to any pattern.
    for length in range(560, 610):
        text = str(error(500, {"error": "x" * length + " " + KEY + " " + "y" * 99_999}))
        assert "sk-" not in text
        assert len(text) < 700
    for length in range(16_340, 16_390):
        assert "sk-" not in str(error(500, "[REDACTED]" + " " * length + KEY))
    assert error(500, "x" * 100_000).status_code == 500
