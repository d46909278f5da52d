"""What is removed from text that came from elsewhere, and what survives."""

import copy
import html
import json
import pickle
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from executionkit._redaction import MARK, _forms, possible, redact
from executionkit._secrets import LostSecret, Secret

KEPT = [
    "authentication failed",
    "tokenizer",
    "tokenizer: cl100k_base",
    "Invalid token count",
    "token limit 4096",
    "max_tokens=4096 is more than the limit",
    "max_tokens: 4096",
    "token=12",
    "token: required",
    "Invalid token: expected a string",
    "You exceeded your token quota",
    "the password is wrong",
    "secret sauce",
    "api key: missing",
    "risk-free task-runner, desk-top",
    "the bearer scheme is required",
    "Bearer token missing",
    "Missing bearer or basic authentication in header",
    "request id 0123456789abcdef0123456789abcdef",
    "x-request-id: abcdef0123456789abcdef0123456789",
    "req_0123456789abcdef0123456789abcdef",
    "chatcmpl-0123456789abcdef0123456789abcdef",
    "6f1c2d3e-4b5a-6978-8796-a5b4c3d2e1f0",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
    "Connection refused (127.0.0.1:8080)",
]


@pytest.mark.parametrize("text", KEPT)
def test_ordinary_words_survive(text: str) -> None:
    assert redact(text) == text


HIDDEN = [
    ("key sk-abc123def here", "key [REDACTED] here"),
    ("sk-proj-AAAA_bbbb-1111", "[REDACTED]"),
    ("provided: sk-ab***********wxyz.", "provided: [REDACTED]."),
    ("Authorization: Bearer abc.def-123", "Authorization: Bearer [REDACTED]"),
    ("bearer abcdef", "bearer [REDACTED]"),
    ("bearer token zxcvbnm", "bearer token [REDACTED]"),
    ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [REDACTED]"),
    ("token=abc&x=1", "token=[REDACTED]&x=1"),
    ("access_token = zzz", "access_token = [REDACTED]"),
    ("Token: abc123def", "Token: [REDACTED]"),
    ("password=hunter2", "password=[REDACTED]"),
    ('{"api_key": "top secret", "n": 1}', '{"api_key": "[REDACTED]", "n": 1}'),
    ("{'x-api-key': 'zzz'}", "{'x-api-key': '[REDACTED]'}"),
    ('"Authorization": "Bearer abc def"', '"Authorization": "[REDACTED]"'),
    ('\\"token\\": \\"abc\\"', '\\"token\\": \\"[REDACTED]\\"'),
    ("https://user:pass@host/x", "https://[REDACTED]@host/x"),
    ("/v1?key=abcd&alt=json", "/v1?key=[REDACTED]&alt=json"),
    *((key, "[REDACTED]") for key in ("hf_abcdefghij", "github_pat_11ABCDEFG", "ghp_abcdefghijk")),
    *((key, "[REDACTED]") for key in ("glpat-abc_123-x", "xai-abcdef1", "gsk_abcdefgh", "sk_live_abcdef")),
    *((key, "[REDACTED]") for key in ("AKIAIOSFODNN7EXAMPLE", "AIzaSyA1234567890abcdefghijkl")),
    ("eyJhbGciOiJI.eyJzdWIi.abc-_", "[REDACTED]"),
    ("key 0123456789abcdef0123456789ABCDEF.", "key [REDACTED]."),
]


@pytest.mark.parametrize(("text", "shown"), HIDDEN)
def test_what_looks_like_a_credential_goes(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("data", ["iVBORw0KGgo" + "A" * 5_000, "deadbeef" * 600, "a/b+" * 10 + "=="])
def test_the_data_of_a_picture_in_a_complaint_go(data: str) -> None:
    complaint = f'Invalid image_url: "data:image/png;base64,{data}" is no picture.'
    assert redact(complaint) == 'Invalid image_url: "data:image/png;base64,..." is no picture.'


def test_short_secrets_are_whole_words() -> None:
    assert redact("EMPTY is EMPTYish", [Secret("EMPTY")]) == "[REDACTED] is EMPTYish"
    assert redact("nothing", [Secret("")]) == "nothing"


def test_the_credential_in_an_authorization_header_goes_without_its_scheme() -> None:
    assert redact("got dXNlcjpwYXNz", [Secret("Basic dXNlcjpwYXNz")]) == "got [REDACTED]"


secrets = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["Cc"]), min_size=8
)


@given(st.text(), secrets, st.text(), st.data())
def test_a_secret_never_survives(before: str, value: str, after: str, data: st.DataObject) -> None:
    assume(value.lower() not in MARK.lower())
    urls = [quote(value), quote(value, safe=""), quote_plus(value), quote(value, safe="").lower()]
    texts = [json.dumps(value)[1:-1], json.dumps(value).replace("/", "\\/")[1:-1], repr(value)[1:-1]]
    form = data.draw(st.sampled_from([value, value.lower(), html.escape(value), *urls, *texts]))
    assume(form not in before + after)
    found = redact(before + form + after, [Secret(value), Secret("other-secret")])
    assert form not in found
    assert value not in found


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(redact(text, [Secret("k" * 9)]), str)


@pytest.mark.parametrize(
    "text", ["_" * 16_000, "-" * 16_000, "eyJ-" * 4_000, "token" * 3_000, "bearer " * 2_000]
)
def test_no_text_takes_long(text: str) -> None:
    # The suite's time limit is the assertion: a pattern that backtracks would take minutes.
    redact(text)


def test_a_secret_shows_itself_nowhere_but_where_asked() -> None:
    secret = Secret("hunter22")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>5}", f"{secret!r}", f"{[secret]}"]
    assert shown == ["'***'", "***", "***", "  ***", "'***'", "['***']"]
    assert secret.reveal() == "hunter22" == secret
    assert type(secret.reveal()) is str
    assert [repr(Secret("")), str(Secret(""))] == ["''", ""]
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_a_pickled_secret_is_lost() -> None:
    lost = pickle.loads(pickle.dumps(Secret("hunter22")))
    assert type(lost) is LostSecret
    assert repr(lost) == "'***'"
    assert type(pickle.loads(pickle.dumps(lost))) is LostSecret
    assert type(pickle.loads(pickle.dumps(Secret("")))) is Secret


@pytest.mark.parametrize(
    "unit",
    ["token:", "token:a", "secret: ", "-", "_a", "eyJ-", "://", "bearer ", "api_key='", "f-"],
)
def test_it_takes_time_in_proportion_to_the_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        taken: list[float] = []
        for _ in range(3):
            before = time.thread_time()
            redact(text)
            taken.append(time.thread_time() - before)
        return min(taken)

    # Eight times the length; by the square it would be 64 times as long.
    assert seconds(16_000) < 24 * max(seconds(2_000), 0.0005)


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1), st.data())
def test_a_secret_is_possible_wherever_it_is_in_any_form(value: str, data: st.DataObject) -> None:
    secret = Secret(value)
    form = data.draw(st.sampled_from(sorted(_forms(value))))
    around = data.draw(st.sampled_from(["", "x", "\u0131"]))
    assert possible(f"{around}{form.upper()}{around}", [secret]) == [secret]
    assert possible(f"{around}{form}{around}", [Secret("other-0123456789"), secret])[-1] == secret


def test_a_secret_whose_letters_are_not_in_a_text_is_not_looked_for_there() -> None:
    assert possible("a text without it", [Secret("sk-0123456789")]) == []
