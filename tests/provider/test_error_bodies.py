"""What an error body tells, wherever it stands in it: the class, the code, the reason and the wait."""

import json
from typing import Any

import pytest

from executionkit._secrets import Secret
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Reply
from executionkit.provider._reply import interpret

KEY = 'sk-very"secret/key-\xe9-0123456789'
REPORT = Reporter("llm.example", "gpt-x", (Secret(KEY),))
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
MOMENT = 1_772_366_400  # the same


def failed(status: int, body: Any, **headers: str) -> LLMError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return REPORT.status(Reply(status, {"date": DATE, **named}, json.dumps(body).encode()))


def within(body: Any) -> LLMError:
    return REPORT.error_within(Reply(200, {}, json.dumps(body).encode()), body)


LIMITS = [
    *(
        "ThrottlingException",
        "throttling_exception",
        "com.amazon#ThrottlingException",
        "Throttling.RateQuota",
    ),
    *("RESOURCE_EXHAUSTED", "rate_limit_exceeded", "rateLimitExceeded", "RateLimitReached", "rate-limited"),
    *("TooManyRequests", "too_many_requests_error", "SlowDown", "RequestLimitExceeded", "limit_requests"),
    *("LimitExceededException", "quotaExceeded", "tpm_limit", "daily_token_limit_exceeded"),
    *(
        "ProvisionedThroughputExceededException",
        "QuotaLimitExceeded",
        "rpm_exceeded",
        "REQUEST_RATE_EXCEEDED",
    ),
    *("too_many_concurrent_requests", "tokens_per_minute", "RequestRateTooLarge", "qps_limit", "E429"),
]
FINAL = [
    *(
        "INVALID_ARGUMENT",
        "invalid_request_error",
        "InvalidParameter",
        "BadRequestError",
        "ValidationException",
    ),
    *(
        "context_length_exceeded",
        "exceed_context_size_error",
        "ContextWindowExceededError",
        "tokens_limit_reached",
    ),
    *("invalid_api_key", "UNAUTHENTICATED", "PERMISSION_DENIED", "AccessDeniedException", "NotFoundError"),
    *("insufficient_quota", "InsufficientBalance", "billing_not_active", "exceeded_current_quota_error"),
    *("content_filter", "DataInspectionFailed", "FAILED_PRECONDITION", "UNIMPLEMENTED", "request_too_large"),
    *(
        "string_above_max_length",
        "model_decommissioned",
        "api_key_disabled",
        "expired_api_key",
        "SensitiveContent",
    ),
    *("wrong_api_key", "IncorrectAPIKey", "access_terminated_error", "err-400", "unknown_parameter"),
    *("budget_exceeded", "AllocationQuota.FreeTierOnly", "SERVICE_DISABLED", "invalid_response_format"),
    *("AuthFailure", "subscription_expired", "no_credits", "prohibited_content", "bad_parameter"),
    *("prompt_blocked", "guardrail_violation", "OperationDenied.ServiceNotOpen", "precondition_failed"),
]
PASSING = [
    *(
        "internal_server_error",
        "InternalServerException",
        "UNAVAILABLE",
        "overloaded_error",
        "ServiceUnavailable",
    ),
    *("DEADLINE_EXCEEDED", "timeout", "ABORTED", "server_error", "ModelNotReadyException", "model_error"),
    *("invalid_upstream_response", "unknown", "?", "temporarily_disabled", "malformed_response"),
]
MEANINGS = [
    *((code, RateLimitError) for code in LIMITS),
    *((code, PermanentError) for code in FINAL),
    *((code, ProviderError) for code in PASSING),
]


@pytest.mark.parametrize("name", ["code", "type", "status", "errorType"])
@pytest.mark.parametrize(("code", "kind"), MEANINGS)
def test_a_code_without_a_status_counts_by_its_meaning(code: str, kind: type[LLMError], name: str) -> None:
    found = within({"error": {name: code, "message": "no"}})
    assert (type(found), found.code) == (kind, code)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ThrottlingException", RateLimitError),
        (503, "SlowDown", RateLimitError),
        (413, "rate_limit_exceeded", PermanentError),  # one request that is larger than the limit of a minute
        (500, "invalid_request_error", PermanentError),
        (503, "model_not_found", ProviderError),
        (500, "server_error", ProviderError),
        (429, "insufficient_quota", PermanentError),
        (429, "invalid_request_error", RateLimitError),
    ],
)
def test_a_code_beside_a_status(status: int, code: str, kind: type[LLMError]) -> None:
    assert type(failed(status, {"error": {"code": code, "message": "no"}})) is kind


def test_a_code_in_a_header() -> None:
    found = failed(
        400, {"message": "Too fast"}, x_amzn_errortype="ThrottlingException:http://internal.amazon.com/"
    )
    assert (type(found), found.code) == (RateLimitError, "ThrottlingException")


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"code": 400, "type": "exceed_context_size_error"}, "exceed_context_size_error"),
        ({"code": "400", "type": "BadRequestError", "status": "x"}, "BadRequestError"),
        ({"code": "rate_limit_exceeded", "type": "tokens"}, "rate_limit_exceeded"),
        ({"code": "invalid_request", "type": "insufficient_quota"}, "insufficient_quota"),
        (
            {"code": 400, "metadata": {"raw": '{"error": {"code": "context_length_exceeded"}}'}},
            "context_length_exceeded",
        ),
        ({"code": 400}, "400"),
        ({"code": "400", "type": "None", "param": "None"}, "400"),
        ({"code": 1302, "type": "t"}, "1302"),
    ],
)
def test_the_telling_code_wins(facts: dict[str, Any], code: str) -> None:
    assert failed(400, {"error": {"message": "no", **facts}}).code == code


def test_what_is_too_long_and_what_is_not() -> None:
    assert failed(400, {"error": {"type": "exceed_context_size_error"}}).is_context_overflow
    assert not failed(400, {"error": {"message": "max_tokens is too large: 5000"}}).is_context_overflow
    assert not failed(429, {"error": {"message": "maximum context length", "code": "x"}}).is_context_overflow
    assert not failed(500, "").is_context_overflow


# x-should-retry


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (503, "false", PermanentError),
        (503, "false, false", PermanentError),
        (429, "False", PermanentError),
        (400, "true", ProviderError),
        (400, " TRUE ", ProviderError),
        (503, "true", ProviderError),
        (429, "true", RateLimitError),
        (400, "maybe", PermanentError),
        (503, "", ProviderError),
    ],
)
def test_the_server_says_itself_whether_to_come_back(status: int, word: str, kind: type[LLMError]) -> None:
    assert type(failed(status, {"error": "no"}, x_should_retry=word)) is kind


def test_a_failed_generation_is_tried_again_unless_the_server_refuses_that() -> None:
    """The head of a 200 was written for the reply; only that of an error is about trying again."""
    told = {"error": {"message": "no call", "code": "tool_use_failed", "failed_generation": "<fn"}}
    assert type(failed(400, told)) is ProviderError
    assert type(failed(400, told, x_should_retry="false")) is PermanentError
    body = {"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}
    reply = Reply(200, {"x-should-retry": "false"}, json.dumps(body).encode())
    assert type(interpret(reply, 10**6, REPORT)) is ProviderError


# The reason


REASONS: list[tuple[Any, str]] = [
    (
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"one image"}}'},
            }
        },
        "Provider returned error; one image",
    ),
    ({"error": {"message": '{"error": {"message": "one image", "code": 3}}'}}, "one image"),
    ({"error": '{"message": "one image"}'}, "one image"),
    (
        {"error": {"message": "Bad.", "details": [{"@type": "x", "description": "n is too big"}]}},
        "Bad.; n is too big",
    ),
    ({"error": {"message": "Bad.", "innererror": {"message": "inner reason"}}}, "Bad.; inner reason"),
    ({"error": {"message": "Bad.", "metadata": {"raw": "plain reason"}}}, "Bad.; plain reason"),
    (
        {"error": {"message": "Bad.", "metadata": {"raw": 'data: {"detail": "in an event"}'}}},
        "Bad.; in an event",
    ),
    ({"error": {"message": "Bad: inner reason", "cause": {"message": "inner reason"}}}, "Bad: inner reason"),
    (
        {"error": {"code": 400, "details": [{"fieldViolations": [{"description": "no such field"}]}]}},
        "no such field",
    ),
    ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
    ({"error": {"message": "<html><title>502 Bad</title></html>"}}, "an HTML page, '502 Bad'"),
    ({"title": "Bad Request", "status": 400}, "Bad Request"),
    (
        {"title": "Bad.", "errors": {"n": ["must be below 5"], "m": "is odd"}},
        "n: must be below 5; m: is odd",
    ),
    ({"message": {"detail": [{"loc": ["body", "n"], "msg": "too large"}]}}, "body.n: too large"),
    ({"error": {"message": "Flagged.", "metadata": {"reasons": ["a rude word"]}}}, "Flagged.; a rude word"),
    ({"base_resp": {"status_code": 1004, "status_msg": "login failed here"}}, "login failed here"),
    (json.dumps({"error": {"message": "said twice over"}}), "said twice over"),
]


@pytest.mark.parametrize(("body", "words"), REASONS)
def test_the_reason_wherever_it_stands(body: Any, words: str) -> None:
    assert str(failed(400, body)) == f"llm.example answered 400 Bad Request: {words}"


def test_a_body_without_end_is_read_in_part() -> None:
    deep: Any = "reason here"
    for _ in range(300):
        deep = {"error": deep}
    assert failed(400, deep).status_code == 400
    wide = {
        "error": {"message": "m" * 200_000, "details": [{"message": f"{n} words"} for n in range(50_000)]}
    }
    assert len(str(failed(400, wide))) < 800


# The body


def test_the_body_is_on_the_error_without_secrets() -> None:
    quoted = json.dumps({"error": {"message": f"bad key {KEY}", "token": "abc123def"}})
    body = {"error": {"message": "no", "metadata": {"raw": json.dumps({"raw": quoted}), "key": KEY}}}
    for found in (
        failed(400, body),
        within(body),
        REPORT.unreadable(Reply(200, {}, json.dumps(body).encode()), "x"),
    ):
        assert found.body is not None
        assert found.body.startswith('{"error": {"message": "no"')
        assert "[REDACTED]" in found.body
        assert not any(
            part in found.body + str(found) for part in ("very", "secret/", "0123456789", "abc123def")
        )


def test_the_body_is_bounded_and_may_be_missing() -> None:
    assert len(failed(400, "word " * 100_000).body or "") == 8_000
    assert REPORT.status(Reply(500, {}, b"")).body is None
    assert REPORT.status(Reply(500, {}, b"caf\xc3\xa9 \xff\n\x00ok")).body == "café \ufffd\nok"


# The wait


def info(delay: Any, **rest: Any) -> dict[str, Any]:
    return {
        "error": {
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}],
            **rest,
        }
    }


WAITS: list[tuple[Any, dict[str, str], float]] = [
    (info("30s"), {}, 30.0),
    (info("1.5s"), {}, 1.5),
    (info("500ms"), {}, 0.5),
    (info("1m30s"), {}, 90.0),
    (info({"seconds": 30, "nanos": 500_000_000}), {}, 30.5),
    ([info("30s")], {}, 30.0),
    ({"error": {"message": json.dumps(info("7s"))}}, {}, 7.0),
    (info("30s"), {"retry_after": "3"}, 3.0),
    (info("30s"), {"retry_after": "1m5s"}, 65.0),
    ({"error": {"retry_after": 12}}, {}, 12.0),
    ({"error": {"retry_after_ms": 1200}}, {}, 1.2),
    ({"retryAfterSeconds": "4"}, {}, 4.0),
    ({"error": {"metadata": {"headers": {"Retry-After": "8"}}}}, {}, 8.0),
    ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": (MOMENT + 30) * 1000}}}}, {}, 30.0),
    ({"error": {"message": "Please try again in 1m30.5s."}}, {}, 90.5),
    ({"error": {"message": "Please retry after 22 seconds."}}, {}, 22.0),
    ({}, {"x_ratelimit_reset": str(MOMENT + 30)}, 30.0),
    ({}, {"x_ratelimit_reset": str((MOMENT + 30) * 1000)}, 30.0),
    ({}, {"x_ratelimit_reset": "1m30s"}, 90.0),
    ({}, {"ratelimit_reset": "45"}, 45.0),
    ({}, {"x_ratelimit_reset_tokens": "6m0s", "x_ratelimit_remaining_tokens": "0"}, 360.0),
    (
        {},
        {
            "anthropic_ratelimit_requests_reset": "2026-03-01T12:00:20Z",
            "anthropic_ratelimit_requests_remaining": "0",
        },
        20.0,
    ),
    ({}, {"retry_after_ms": "1500"}, 1.5),
    ({}, {"x_retry_after": "8"}, 8.0),
    ({"error": {"resets_in_seconds": 77}}, {}, 77.0),
    ({"error": {"resets_at": MOMENT + 77}}, {}, 77.0),
    ({"error": {"metadata": {"quotaResetDelay": "2.5s"}}}, {}, 2.5),
    ({"nextRetryTime": "2026-03-01T12:00:15Z"}, {}, 15.0),
    ({"error": {"message": '429: b\'{\\n "details": [{\\n "retryDelay": "39s"}]}\''}}, {}, 39.0),
    ({"error": {"message": "Try again at 2026-03-01T12:00:50+00:00."}}, {}, 50.0),
    ({"error": {"message": "Try again in 1 minute and 30 seconds."}}, {}, 90.0),
    ({"error": {"message": "Please wait 10 seconds before another request."}}, {}, 10.0),
    ({"error": {"message": "Retry after: 12s"}}, {}, 12.0),
    ({}, {"ratelimit": '"a";r=5;t=3, "b";r=0;t=41'}, 41.0),
    ({}, {"ratelimit": "limit=10, remaining=0, reset=41"}, 41.0),
    ({}, {"x_ratelimit_reset_after": "5s", "x_ratelimit_remaining": "0"}, 5.0),
    ({}, {"x_ratelimit_retry_after": "6"}, 6.0),
    ({}, {"x_retry_in": "6s"}, 6.0),
    ({"error": {"wait_seconds": 6}}, {}, 6.0),
    ({"error": {"cooldown_ms": 6000}}, {}, 6.0),
    ({"error": {"seconds_until_retry": 6}}, {}, 6.0),
    ({"error": {"nextAvailableAt": "2026-03-01T12:00:15Z"}}, {}, 15.0),
    ({"error": {"message": "Too many requests, wait 6s. The request can be retried then."}}, {}, 6.0),
    ({"error": {"message": "It can be retried in 6 seconds."}}, {}, 6.0),
    ({"error": {"message": "No capacity; available in 20 seconds."}}, {}, 20.0),
    ({"error": {"time_until_reset": "25s"}}, {}, 25.0),
    ({"message": "请求过于频繁，请在30秒后重试"}, {}, 30.0),
    ({"message": "2分钟后再试"}, {}, 120.0),
    ({"message": "30秒後に再試行してください"}, {}, 30.0),
    ({"message": "30초 후 다시 시도하세요"}, {}, 30.0),
]


@pytest.mark.parametrize(("body", "headers", "seconds"), WAITS)
def test_the_wait_wherever_it_is_told(body: Any, headers: dict[str, str], seconds: float) -> None:
    assert failed(429, body, **headers).retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (info("30"), {}),
        (info("soon"), {}),
        (info("-3s"), {}),
        (info(30), {}),
        ({"error": {"message": "try again in 3 months"}}, {}),
        ({"error": {"message": "retry after 5 failed attempts"}}, {}),
        ({"error": {"timeout": "30s"}}, {}),
        ({"error": {"max_retry_delay": "30s", "retry": 5, "retry_in": 5, "retries": "9s"}}, {}),
        ({"error": {"message": "Try again at 10h30, or retry at 7 pm."}}, {}),
        ({"error": {"message": "请求在30秒后超时"}}, {}),
        ({"error": {"wait": 30, "available": 6, "wait_list": "6s"}}, {"x_should_retry": "6s"}),
        ({"error": {"message": "The longest wait is 30s; it waited 31 seconds."}}, {}),
        ({}, {"ratelimit": '"a";r=5;t=3'}),
        ({}, {"x_ratelimit_reset": "30"}),
        ({}, {"x_ratelimit_reset_requests": "30s"}),
        ({}, {"x_ratelimit_reset_requests": "30s", "x_ratelimit_remaining_requests": "5"}),
    ],
)
def test_nothing_is_guessed(body: Any, headers: dict[str, str]) -> None:
    assert failed(429, body, **headers).retry_after == 1.0


def test_the_end_of_a_limit_is_no_wait_where_no_limit_was_met() -> None:
    assert failed(503, {"quotaResetDelay": "30s"}, x_ratelimit_reset="30s").retry_after is None
    assert failed(503, info("30s")).retry_after == 30.0
