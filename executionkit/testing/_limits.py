"""`Limits`: the rate limits of the local endpoint, and the refusals of a request that meets one."""

import math
import threading
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

from executionkit import _checks as checks
from executionkit.testing._http import Reply, json_body
from executionkit.testing._requests import ChatRequest
from executionkit.testing._tokens import count_prompt_tokens

RetryAfter: TypeAlias = Literal["seconds", "milliseconds", "date", "body", "none"]
_KINDS: Final = ("requests", "tokens")
_SHORT: Final = {"requests": "RPM", "tokens": "TPM"}


class Limits:
    """Rate limits of a `LocalEndpoint`. A request that meets one gets status 429, as from a real server.

    The tokens of a request are those of its prompt, which must fit, and those of its reply, which may leave
    less than nothing. A request of more tokens than a limit ever has room for passes when there is all of it.
    Refused requests take no room.

    Example:
        ```python
        from executionkit import Provider, RateLimitError
        from executionkit.testing import Limits, LocalEndpoint

        limits = Limits(
            requests_per_minute=60, burst=2
        )  # two at once, then one a second
        with LocalEndpoint(["hello"], limits=limits) as endpoint:
            async with Provider(endpoint.base_url, "any-model") as provider:
                message = [{"role": "user", "content": "Hi"}]
                await provider.complete(message)
                await provider.complete(message)
                try:
                    await provider.complete(message)
                except RateLimitError as refusal:
                    assert refusal.retry_after == 1.0
            assert endpoint.ledger.statuses == (200, 200, 429)
        ```

    Args:
        requests_per_minute: The requests in a minute. Defaults to no limit.
        tokens_per_minute: The tokens in a minute. Defaults to no limit.
        burst: The seconds of a rate that are admitted at once after a lull.
        window: The seconds of a window. Then each window admits its share of the minute, at any moment of it,
            and `burst` is not used. Defaults to rates without windows.
        retry_after: How a refusal says when to come back: in whole seconds, in milliseconds (in the header
            `retry-after-ms`), as a date, in the text of the error, or not at all.
        headers: Whether replies and refusals have `x-ratelimit-limit-requests` and the like.
        clock: Returns the seconds that have passed, for tests without waiting. Defaults to `time.monotonic`.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        *,
        burst: float = 1.0,
        window: float | None = None,
        retry_after: RetryAfter = "seconds",
        headers: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        checks.positive(burst=burst, window=1.0 if window is None else window)
        checks.one_of(get_args(RetryAfter), retry_after=retry_after)
        self._burst = burst
        self._window = window
        self._retry_after = retry_after
        self._headers = headers
        self._clock = clock
        self._lock = threading.Lock()
        self._meters: dict[str, _Meter] = {}
        self.change(requests_per_minute, tokens_per_minute)

    def change(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None
    ) -> None:
        """Set other limits, while the endpoint runs; any thread may do it.

        Args:
            requests_per_minute: The requests in a minute from now on. Defaults to no limit.
            tokens_per_minute: The tokens in a minute from now on. Defaults to no limit.
        """
        given = {"requests": requests_per_minute, "tokens": tokens_per_minute}
        checks.positive(**{f"{kind}_per_minute": rate for kind, rate in given.items() if rate is not None})
        with self._lock:
            now = self._clock()
            for kind, rate in given.items():
                if rate is None:
                    self._meters.pop(kind, None)
                elif kind in self._meters:
                    self._meters[kind].change(now, rate)
                else:
                    self._meters[kind] = _Meter(now, rate, self._burst, self._window)

    def admit(self, request: ChatRequest) -> Reply | None:
        """Take room for a request; the refusal if there is none."""
        prompt = count_prompt_tokens(request.messages, request.tools)
        sizes = {"requests": 1.0, "tokens": float(prompt)}
        with self._lock:
            now = self._clock()
            waits = {kind: meter.wait(now, sizes[kind]) for kind, meter in self._meters.items()}
            kind = max(waits, key=lambda each: waits[each], default="")
            if not kind or waits[kind] <= 0:
                for each, meter in self._meters.items():
                    meter.take(sizes[each])
                return None
            limit = self._meters[kind].per_minute
            shown = self._shown(now)
        return self._refusal(request, kind, limit, waits[kind], shown)

    def settle(self, reply: Reply) -> None:
        """Count the tokens of a reply, and say what is left in its headers."""
        with self._lock:
            now = self._clock()
            if "tokens" in self._meters:
                self._meters["tokens"].wait(now, 0.0)
                self._meters["tokens"].take(float(reply.output_tokens))
            reply.headers |= self._shown(now)

    def _refusal(
        self, request: ChatRequest, kind: str, limit: float, wait: float, shown: dict[str, str]
    ) -> Reply:
        words = f"Rate limit reached for {request.model} on {kind} per min ({_SHORT[kind]}): limit {limit:g}."
        headers = dict(shown)
        match self._retry_after:
            case "seconds":
                headers["retry-after"] = str(math.ceil(wait))
            case "milliseconds":
                headers["retry-after-ms"] = str(math.ceil(wait * 1000))
            case "date":
                from email.utils import formatdate  # here: rarely needed

                headers["retry-after"] = formatdate(math.ceil(time.time() + wait), usegmt=True)
            case "body":
                words += f" Please try again in {_duration(wait)}."
            case _:
                pass
        error = {"message": words, "type": kind, "param": None, "code": "rate_limit_exceeded"}
        return Reply(429, json_body({"error": error}), headers)

    def _shown(self, now: float) -> dict[str, str]:
        found: dict[str, str] = {}
        for kind, meter in self._meters.items() if self._headers else ():
            left, reset = meter.state(now)
            found[f"x-ratelimit-limit-{kind}"] = f"{meter.shown_limit:.0f}"
            found[f"x-ratelimit-remaining-{kind}"] = f"{max(0.0, left):.0f}"
            found[f"x-ratelimit-reset-{kind}"] = _duration(reset)
        return found


class _Meter:
    """The room under one limit: in a bucket that fills, or in windows."""

    def __init__(self, now: float, per_minute: float, burst: float, window: float | None) -> None:
        self._burst = burst
        self._window = window
        self._at = now
        self._used = 0.0
        self.per_minute = per_minute

    @property
    def _size(self) -> float:
        return max(1.0, self.per_minute / 60 * (self._burst if self._window is None else self._window))

    @property
    def shown_limit(self) -> float:
        """The limit as headers name it: of a minute, or of the window."""
        return self.per_minute if self._window is None else self._size

    def change(self, now: float, per_minute: float) -> None:
        left = self._size - self._used_at(now)
        self.per_minute = per_minute
        if self._window is None:
            self._used = max(0.0, self._size - left)

    def wait(self, now: float, units: float) -> float:
        """The seconds until there is room."""
        missing = self._used_at(now) + min(units, self._size) - self._size
        if missing <= 1e-9:
            return 0.0
        return missing / (self.per_minute / 60) if self._window is None else self._window_ends(now)

    def take(self, units: float) -> None:
        self._used += units

    def state(self, now: float) -> tuple[float, float]:
        """What remains, and the seconds until all of it is there again."""
        used = self._used_at(now)
        reset = used / (self.per_minute / 60) if self._window is None else self._window_ends(now)
        return self.shown_limit - used, reset

    def _used_at(self, now: float) -> float:
        passed = max(0.0, now - self._at)
        if self._window is None:
            self._used = max(0.0, self._used - passed * self.per_minute / 60)
            self._at = max(self._at, now)
        elif passed >= self._window:
            windows = math.floor(passed / self._window)
            self._used = max(0.0, self._used - windows * self._size)
            self._at += windows * self._window
        return self._used

    def _window_ends(self, now: float) -> float:
        return 0.0 if self._window is None else max(1e-3, self._at + self._window - now)


def _duration(seconds: float) -> str:
    """A duration as OpenAI writes it: "350ms", "1.2s", "6m0s"."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
