"""The approvals of a tool loop: asked one at a time, in the order of the calls, and closed against doubt."""

import asyncio
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from executionkit import _checks as checks
from executionkit._json import plain
from executionkit._text import shorten
from executionkit._threads import in_thread
from executionkit.approval import Approval, ApprovalRequest, Approver
from executionkit.engine.parallel import look_at, spawn
from executionkit.errors import ApprovalPending
from executionkit.events import ApprovalAsked, ApprovalGiven
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._tools import GRACE, Prepared, abandon, is_async
from executionkit.patterns._transcript import Transcript
from executionkit.responses import ToolCall

_RESUME: Final = (
    "go on with react_loop(provider, None, tools, messages=error.metadata['messages'], "
    "approvals={call.id: True, ...})"
)


def check_approvals(approve: object, timeout: object, approvals: object, waiting: Sequence[ToolCall]) -> None:
    """Require what `react_loop` takes as approver, time limit, and answers for the calls that wait."""
    if approve is not None:
        checks.called_with("request", approve=approve)
    if timeout is not None:
        checks.positive(approval_timeout=timeout)
    if approvals is None:
        return
    if not isinstance(approvals, Mapping):
        raise TypeError(
            f"approvals must map the ids of calls to True, False or an Approval, got {approvals!r}"
        )
    given: Mapping[object, object] = approvals
    ids = [call.id for call in waiting]
    for identifier, answer in given.items():
        _read(answer, "approvals must hold")
        if identifier not in ids:
            known = ", ".join(map(repr, ids)) or "none"
            raise ValueError(
                f"approvals must name calls at the end of messages that have no result ({known}), "
                f"got {identifier!r}"
            )


class Desk:
    """Where the calls of one run get their approval.

    Nothing but True, or an `Approval` with True, approves. A wrong answer or an exception ends the run: it is
    kept for `settle`, and no further question is asked.

    Args:
        approve: The approver, if there is one.
        timeout: Seconds that it has for each call, from when it is asked; None for no limit.
        given: Answers to the calls that the conversation begins with, by the ids of the calls.
        narrator: Receives the events.
        transcript: The conversation so far.
    """

    def __init__(
        self,
        approve: Approver | None,
        timeout: float | None,
        given: Mapping[str, Approval | bool] | None,
        narrator: Narrator,
        transcript: Transcript,
    ) -> None:
        self._approve = approve
        self._timeout = timeout
        self._given = {} if given is None else dict(given)
        self._narrator = narrator
        self._transcript = transcript
        self._turn: asyncio.Lock | None = None
        self._failure: BaseException | None = None
        self._deferred: ApprovalPending | None = None

    def is_needed(self, number: int, call: ToolCall, prepared: Prepared) -> bool:
        """Whether a call needs approval; one that was given an answer does, whatever its tool says."""
        asks = prepared.tool.needs_approval
        if number == 0 and call.id in self._given:
            return True
        if isinstance(asks, bool):
            return asks
        try:
            # Arguments of its own: the tool must receive what was checked and approved.
            needed: object = asks(prepared.tool.convert(plain(call.arguments)))
            if not isinstance(needed, bool):
                raise TypeError(
                    f"needs_approval of {call.name} must return True or False, got {_told(needed)}; "
                    "the tool was not run"
                )
        except Exception as exc:  # noqa: BLE001 - the user's function may raise anything
            self._failure = self._failure or exc
            return True
        return needed

    async def decide(self, number: int, call: ToolCall, prepared: Prepared) -> Approval | None:
        """The answer for a call; None if it was put off, or if the run is about to fail."""
        if number == 0 and call.id in self._given:
            approval = _read(self._given.pop(call.id), "")
        elif self._approve is None or self._failure is not None:
            return None
        else:
            if self._turn is None:
                self._turn = asyncio.Lock()
            async with self._turn:
                asked = None if self._failure is not None else await self._ask(number, call, prepared)
            if asked is None:
                return None
            approval = asked
        if self._narrator.listens:
            decided = approved_call(call, approval)
            await self._narrator.tell(ApprovalGiven(number, decided, approval.approved, approval.reason))
        return approval

    async def _ask(self, number: int, call: ToolCall, prepared: Prepared) -> Approval | None:
        if self._narrator.listens:
            await self._narrator.tell(ApprovalAsked(number, call))
        asked = ToolCall(call.id, call.name, plain(call.arguments))
        request = ApprovalRequest(asked, prepared.tool, number, tuple(map(plain, self._transcript.messages)))
        (task,) = spawn(self._answer(request))
        task.add_done_callback(look_at)
        try:
            await asyncio.wait((task,), timeout=self._timeout)
            timed_out = not task.done()
        finally:
            if not task.done():
                await abandon(task, "the approver", min(GRACE, self._timeout or GRACE))
        if timed_out:
            return Approval(approved=False, reason=f"no answer within {self._timeout:g} seconds")
        if task.cancelled():
            self._failure = asyncio.CancelledError("the approver raised CancelledError")
            return None
        exc = task.exception()
        if isinstance(exc, ApprovalPending):
            self._deferred = self._deferred or exc
            return None
        if exc is not None:
            self._failure = exc
            return None
        return task.result()

    async def _answer(self, request: ApprovalRequest) -> Approval:
        approve: Any = self._approve
        answer = approve(request) if is_async(approve) else await in_thread(lambda: approve(request))
        return _read(await answer if inspect.isawaitable(answer) else answer, "approve must return")

    def settle(self, waiting: Sequence[ToolCall]) -> None:
        """End the run if there are calls without an answer.

        Args:
            waiting: The calls of the round that have no observation.

        Raises:
            ApprovalPending: They wait for approval.
            BaseException: That of the approver, or a TypeError for its answer.
        """
        if self._failure is not None:
            raise self._failure
        if not waiting:
            return
        names = ", ".join(f"{call.name} ({call.id})" for call in waiting)
        said = f": {self._deferred}" if str(self._deferred or "") else ""
        problem = f"react_loop: {len(waiting)} tool call(s) wait for approval, {names}{said}; {_RESUME}"
        raise ApprovalPending(problem, calls=waiting) from self._deferred


def approved_call(call: ToolCall, approval: Approval) -> ToolCall:
    """The call as it was approved, with its edited arguments."""
    if not approval.approved or approval.arguments is None:
        return call
    return ToolCall(call.id, call.name, plain(approval.arguments))


def _read(answer: object, wanted: str) -> Approval:
    # Neither a truthy value nor a coroutine that was not awaited approves.
    if answer is True or answer is False:
        return Approval(answer)
    if isinstance(answer, Approval) and (answer.approved is True or answer.approved is False):
        return answer
    raise TypeError(f"{wanted} True, False or an Approval, got {_told(answer)}; the tool was not run")


def _told(answer: object) -> str:
    if inspect.iscoroutine(answer):
        answer.close()  # or it would warn that it was never awaited
    try:
        return shorten(repr(answer), 200)
    except Exception:  # noqa: BLE001 - a repr of the user's
        return type(answer).__name__
