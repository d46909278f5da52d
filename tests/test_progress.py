"""The progress bar, on real terminals, by rich and without it."""

import asyncio
import builtins
import io
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle

from executionkit import (
    Approval,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalRequest,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternEnded,
    PatternEvent,
    PatternResult,
    PatternStarted,
    PermanentError,
    ProviderError,
    Rates,
    SampleDone,
    StepDone,
    Tier,
    TokenUsage,
    Tool,
    ToolCall,
    cascade,
    consensus,
    consensus_sync,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
)
from executionkit.progress import _rich, bar
from executionkit.progress._tally import Figures


def without_rich(name: str, *rest: Any, import_module: Callable[..., Any] = builtins.__import__) -> Any:
    if name.partition(".")[0] == "rich":
        raise ImportError(f"No module named {name!r}")
    return import_module(name, *rest)


class Terminal:
    """A pseudo-terminal.

    Attributes:
        stream: Its writing end.
    """

    def __init__(self, columns: int) -> None:
        self._reader, self._writer = pty.openpty()
        termios.tcsetwinsize(self._writer, (24, columns))
        self.stream = os.fdopen(self._writer, "w", encoding="utf-8")
        self._read = ""

    def text(self) -> str:
        """Everything that was written."""
        os.set_blocking(self._reader, False)
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 1 << 16):
                self._read += part.decode()
        return self._read

    def lines(self) -> list[str]:
        """The states of the one line, without what was wiped away."""
        return [line.rstrip() for line in self.text().split("\r") if line.strip()]

    def is_wiped(self) -> bool:
        """Whether the line is empty."""
        return not self.seen()

    def seen(self) -> str:
        """The line as it would be seen."""
        seen: list[str] = []
        for part in self.text().split("\r"):
            seen = [*part, *seen[len(part) :]]
        return "".join(seen).rstrip()

    def close(self) -> None:
        self.stream.close()
        os.close(self._reader)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Iterator[Terminal]:
    """Stderr is a terminal, and rich is not installed."""
    screen = Terminal(columns)
    monkeypatch.setattr(builtins, "__import__", without_rich)
    monkeypatch.setattr(sys, "stderr", screen.stream)
    try:
        yield screen
    finally:
        monkeypatch.undo()
        screen.close()


def plain(lines: list[str]) -> list[str]:
    """Without the time left."""
    return ["  ".join(part for part in line.split("  ") if not part.endswith(" left")) for line in lines]


# -- a line of text --------------------------------------------------------------------------------------


async def test_the_line_shows_what_is_done_what_failed_and_what_leads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script: list[Any] = ["Lyon", "Paris", ProviderError("503"), "Paris"]
    with terminal(monkeypatch) as screen:
        await consensus(
            MockProvider(script),
            "q",
            num_samples=4,
            min_samples=3,
            max_concurrency=1,
            retry=ONCE,
            on_event=bar(),
        )
        assert plain(screen.lines()) == [
            "consensus  0/4  0%",
            "consensus  1/4  25%  1 call  Lyon ×1",
            "consensus  2/4  50%  2 calls  Lyon ×1",
            "consensus  3/4  75%  1 failed  3 calls  Lyon ×1",
            "consensus  4/4  100%  1 failed  4 calls  Paris ×2",
        ]
        assert "left" not in screen.lines()[0]
        assert all(" left" in line for line in screen.lines()[1:])
        assert screen.is_wiped()


async def test_the_line_never_outgrows_the_terminal_nor_lets_a_text_control_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nasty = "\x1b[2J\x9b31m\r\n\u202eabc" + "漢字" * 40
    with terminal(monkeypatch, columns=60) as screen:
        await consensus(MockProvider([nasty]), "q", num_samples=2, max_concurrency=1, on_event=bar())
        text = screen.text()
        assert not {"\x1b", "\x9b", "\n", "\u202e"} & set(text)
        assert "漢" in text
        widths = [sum(2 if char > "\u1100" else 1 for char in part) for part in text.split("\r")]
        assert max(widths) in (58, 59)
        assert screen.is_wiped()


async def test_the_line_goes_when_the_run_fails_or_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        with pytest.raises(PermanentError):
            await consensus(MockProvider([PermanentError("403")]), "q", num_samples=2, on_event=bar())
        assert screen.lines()
        assert screen.is_wiped()
        provider = HeldProvider()
        run = asyncio.create_task(consensus(provider, "q", num_samples=2, on_event=bar()))
        await provider.arrived(2)
        assert not screen.is_wiped()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert screen.is_wiped()


async def said(_provider: LLMProvider, prompt: str) -> PatternResult[str]:
    return PatternResult(prompt)


async def test_a_pipe_shows_its_steps_and_costs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    vote = partial(consensus, num_samples=2, max_concurrency=1)
    with terminal(monkeypatch) as screen:
        await pipe(MockProvider(["a"]), "q", vote, said, vote, on_event=bar())
        lines = plain(screen.lines())
    assert "pipe › consensus 1/2  0/3  0%  1 call  a ×1" in lines
    assert "pipe › consensus 1/2  2/3  66%  3 calls  a ×1" in lines
    assert lines[-1].startswith("pipe  3/3  100%  4 calls")


async def test_inside_with_the_bar_counts_runs_one_after_the_other_and_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as screen:
        with bar(total=4) as progress:
            await consensus(MockProvider(["a"]), "q", num_samples=2, on_event=progress)
            with pytest.raises(PermanentError):
                await consensus(MockProvider([PermanentError("403")]), "q", on_event=progress)
            assert not screen.is_wiped()
            runs = [consensus(MockProvider(["a"]), "q", num_samples=2, on_event=progress) for _ in range(2)]
            await asyncio.gather(*runs)
        lines = plain(screen.lines())
        assert screen.is_wiped()
    assert lines[0] == "runs › consensus 0/2  0/4  0%"
    assert "runs  4/4  100%  1 failed  7 calls" in lines[-1]
    assert [line for line in lines if line.startswith("runs › consensus 4/4")]


def test_runs_beside_each_other_cost_what_they_told_at_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(calls: int) -> SampleDone:
        return SampleDone(0, None, 0, failed=False, cost=TokenUsage(llm_calls=calls))

    def end(calls: int) -> PatternEnded:
        return PatternEnded("consensus", None, cost=TokenUsage(llm_calls=calls))

    start = PatternStarted("consensus", 2)
    with terminal(monkeypatch) as screen:
        on_event = bar()
        for event in (start, start, sample(5), sample(1), sample(6), end(6), sample(2), end(2)):
            on_event(event)
        lines = plain(screen.lines())
    assert lines == [
        *("consensus  0/2  0%", "consensus  0/4  0%", "consensus  1/4  25%", "consensus  2/4  50%"),
        *("consensus  3/4  75%", "consensus  3/4  75%  6 calls", "consensus  4/4  100%  8 calls"),
    ]


def test_pipes_beside_each_other_count_their_own_steps_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe_, vote = PatternStarted("pipe", 2), PatternStarted("consensus", 3, depth=1)
    sample, step = SampleDone(0, None, 0, failed=False), StepDone(0, "consensus")
    with terminal(monkeypatch) as screen:
        on_event = bar()
        told: list[PatternEvent] = [
            pipe_,
            pipe_,
            vote,
            vote,
            sample,
            PatternEnded("consensus", None, depth=1),
        ]
        for event in [*told, sample, step, sample]:
            on_event(event)
        assert plain(screen.lines()) == ["pipe  0/2  0%", "pipe  0/4  0%", "pipe  1/4  25%"]


def test_other_patterns_say_what_they_are_at(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look() -> str:
        return "a cat"

    tool = Tool("look", "Look.", {"type": "object", "properties": {}}, look)
    asks = LLMResponse("", [ToolCall("1", "look", {})])
    schema = {"type": "object", "required": ["n"]}
    retried: list[Any] = [ProviderError("503"), '{"n": 1}']

    async def run_all() -> None:
        await refine_loop(
            MockProvider(["a", "b"]),
            "q",
            evaluator=lambda text, _provider: {"a": 0.25, "b": 1.0}[text],
            max_iterations=1,
            on_event=bar(),
        )
        await react_loop(MockProvider([asks, "a cat"]), "q", [tool], on_event=bar())
        await structured(MockProvider(["{}", '{"n": 1}']), "q", schema, on_event=bar())
        await structured(MockProvider(retried), "q", schema, retry=NO_WAIT, on_event=bar())
        await map_reduce(
            MockProvider(["12345"]),
            ["a", "b", "c"],
            map_prompt="M",
            reduce_prompt="R",
            max_reduce_chars=4,
            max_concurrency=1,
            on_event=bar(total=6),
        )

        tiers = [Tier(MockProvider(["a", "b"]), 2), Tier(MockProvider(["b"]))]
        await cascade(tiers, "q", on_event=bar())

    with terminal(monkeypatch) as screen:
        asyncio.run(run_all())
        lines = plain(screen.lines())
    assert "cascade  2/3  66%  2 calls  tier 0 disagrees" in lines
    assert "refine_loop  1/2  50%  1 call  best 0.25" in lines
    assert "react_loop  1  0 calls  look" in lines
    assert "structured  1 call  1 rejected" in lines
    assert "structured  1 call  retry in 0.0 s" in lines
    assert "map_reduce  3/6  50%  3 calls  reducing 2 groups" in lines


async def test_the_line_makes_room_while_a_person_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    wiped: list[bool] = []
    with terminal(monkeypatch) as screen:

        async def approve(_request: ApprovalRequest) -> Approval | bool:
            await idle()
            wiped.append(screen.is_wiped())
            return True

        tools = [
            Tool("ask", "", {"type": "object", "properties": {}}, lambda: "yes", needs_approval=True),
            Tool("go", "", {"type": "object", "properties": {}}, lambda: "went"),
        ]
        calls = LLMResponse("", [ToolCall("1", "ask", {}), ToolCall("2", "go", {})])
        provider = MockProvider([calls, "done"])
        await react_loop(provider, "q", tools, approve=approve, on_event=bar())
        assert (wiped, screen.is_wiped()) == ([True], True)
        assert "ask" in screen.lines()[-2]


def test_the_line_comes_back_when_all_questions_have_their_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    start = PatternStarted("react_loop", None)
    a, b = (ToolCall(name, "ask", {}) for name in "ab")
    given = [ApprovalGiven(1, call, approved=True, reason="") for call in (a, b)]
    with terminal(monkeypatch) as screen, bar() as progress:
        seen: list[bool] = []
        asked: list[PatternEvent] = [start, start, ApprovalAsked(1, a), ApprovalAsked(1, b), *given]
        for event in asked:
            progress(event)
            seen.append(screen.is_wiped())
        assert seen == [False, False, True, True, True, False]
        # An answer that was given before has no question, and a question may stay without an answer.
        unasked: list[PatternEvent] = [
            given[1],
            ApprovalAsked(1, a),
            PatternEnded("react_loop", ValueError()),
        ]
        for event in unasked:
            progress(event)
        assert not screen.is_wiped()


def test_lines_of_bars_beside_each_other_leave_nothing_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as screen:
        bar()(PatternStarted("a_pattern_with_a_long_name", None))
        bar()(PatternStarted("vote", None))
        assert screen.seen() == "vote"


def test_nothing_is_drawn_where_stderr_is_no_terminal() -> None:
    code = (
        "from executionkit import MockProvider, consensus_sync\n"
        "from executionkit.progress import bar\n"
        "assert consensus_sync(MockProvider(['a']), 'q', on_event=bar()).callback_errors == 0\n"
        "import sys; stream = sys.stderr; stream.close()\n"
        "assert consensus_sync(MockProvider(['a']), 'q', on_event=bar()).callback_errors == 0\n"
        "sys.modules['rich.console'] = None\n"
        "assert consensus_sync(MockProvider(['a']), 'q', on_event=bar()).callback_errors == 0\n"
        "sys.stderr = None\n"
        "assert consensus_sync(MockProvider(['a']), 'q', on_event=bar()).callback_errors == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_progress_is_loaded_by_those_who_ask_for_it() -> None:
    code = "import sys; from executionkit import *; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"executionkit.progress", "rich"} & set(done.stdout.split())


@pytest.mark.parametrize("total", [0, -1, 1.5, True, "3"])
def test_a_total_is_a_count(total: Any) -> None:
    with pytest.raises(ValueError, match=r"^total must be an integer >= 1"):
        bar(total)


# -- rich ------------------------------------------------------------------------------------------------


class Drawn:
    """A console of rich's, and what is on its screen."""

    def __init__(self, width: int = 100, encoding: str = "utf-8") -> None:
        console = pytest.importorskip("rich.console")
        self._bytes = io.BytesIO()
        self.console = console.Console(
            file=io.TextIOWrapper(self._bytes, encoding, write_through=True, newline="\n"),
            force_terminal=True,
            width=width,
            color_system=None,
            legacy_windows=False,
        )

    def rows(self) -> list[str]:
        """The rows as they would be seen."""
        rows, row = [""], 0
        for part in re.split(r"(\n|\x1b\[1A|\x1b\[2K|\x1b\[\?25[lh]|\r)", self._bytes.getvalue().decode()):
            if part == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif part == "\x1b[1A":
                row -= 1
            elif part == "\x1b[2K":
                rows[row] = ""
            elif not part.startswith(("\x1b[?25", "\r")):
                rows[row] += part
        return [row.rstrip() for row in rows if row.strip()]


def test_rich_draws_the_whole_bar_of_a_run_that_ended_early() -> None:
    drawn = Drawn()
    provider = MockProvider(["[red]Paris"])
    consensus_sync(provider, "q", num_samples=20, stop="decided", on_event=bar(console=drawn.console))
    assert drawn.rows() == ["consensus ━━━━━━━━━━━━━━━━━━━━━━━━ 10/20 10 calls 0:00 [red]Paris ×10"]


def test_rich_says_how_a_run_failed_and_each_run_has_a_bar() -> None:
    drawn = Drawn()
    on_event = bar(console=drawn.console)
    script: list[Any] = ["a", PermanentError("403")]
    with pytest.raises(PermanentError):
        consensus_sync(MockProvider(script), "q", num_samples=4, max_concurrency=1, on_event=on_event)
    consensus_sync(MockProvider(["a"]), "q", num_samples=1, on_event=on_event)
    assert drawn.rows() == [
        f"consensus {'━' * 12}             2/4 1 failed  2 calls 0:00 PermanentError",
        f"consensus {'━' * 24} 1/1 1 call 0:00 a ×1",
    ]


@pytest.mark.parametrize(
    ("width", "encoding", "row"),
    [
        (64, "utf-8", f"consensus {'━' * 12} 3/3 3 calls  $0.000228 0:00 a word, and …"),
        (40, "utf-8", "consensus 3/3 3 calls  $0.000228"),
        (100, "ascii", f"consensus {'-' * 24} 3/3 3 calls  $0.000228 0:00 a word, and another ? x3"),
    ],
)
def test_rich_takes_room_from_the_bar_first_and_shows_what_the_terminal_can(
    width: int, encoding: str, row: str
) -> None:
    drawn = Drawn(width, encoding)
    provider = MockProvider(["a word, and another ☃"], usage=TokenUsage(500, 1), prices=Rates("0.15", "1"))
    consensus_sync(provider, "q", num_samples=3, on_event=bar(console=drawn.console))
    assert drawn.rows() == [row]


def test_a_bar_that_can_t_be_drawn_is_told_of_once_and_the_next_one_is_drawn() -> None:
    drawn = Drawn()
    live = pytest.importorskip("rich.live").Live(console=drawn.console)
    drawn.console.set_live(live)  # on which rich 13 refuses another one, and rich 15 does not
    on_event = bar(console=drawn.console)
    result = consensus_sync(MockProvider(["a"]), "q", num_samples=3, on_event=on_event)
    assert result.callback_errors <= 1
    drawn.console.clear_live()
    drawn.console.file.close()
    result = consensus_sync(MockProvider(["a"]), "q", num_samples=3, on_event=on_event)
    assert result.callback_errors == 1
    assert not _rich._displays


def test_a_bar_is_told_by_threads() -> None:
    drawn, votes = Drawn(), 20
    with bar(total=4, console=drawn.console) as progress:
        run = partial(consensus_sync, MockProvider(["a"]), "q", num_samples=votes, on_event=progress)
        with ThreadPoolExecutor(4) as pool:
            results = [each.result() for each in [pool.submit(run) for _ in range(4)]]
    assert [result.callback_errors for result in results] == [0] * 4
    assert drawn.rows() == [f"runs {'━' * 24} 4/4 {4 * votes} calls 0:00"]


async def test_bars_of_runs_beside_each_other_are_rows_of_one_display() -> None:
    drawn, provider = Drawn(), HeldProvider()
    runs = [
        asyncio.create_task(consensus(provider, "q", num_samples=count, on_event=bar(console=drawn.console)))
        for count in (1, 2)
    ]
    await provider.arrived(3)
    provider.requests[0].answer("a")
    await idle()
    assert len(drawn.rows()) == 2
    for request in provider.waiting:
        request.answer("b")
    assert [result.callback_errors for result in await asyncio.gather(*runs)] == [0, 0]
    assert [" ".join(row.split()[2:4]) for row in drawn.rows()] == ["1/1 1", "2/2 2"]


def test_rich_draws_nothing_on_a_console_that_is_no_terminal() -> None:
    console = pytest.importorskip("rich.console")
    drawn = io.StringIO()
    consensus_sync(MockProvider(["a"]), "q", on_event=bar(console=console.Console(file=drawn)))
    assert drawn.getvalue() == ""


def test_dollars_are_shown_where_they_are_known() -> None:
    priced = TokenUsage(llm_calls=1, usd="0.00000123")
    assert Figures("consensus", 1, 2, 0, priced, "", "running").details == ["1 call", "$0.00000123"]
    priced = TokenUsage(llm_calls=1_000, usd="12.345")
    assert Figures("consensus", 1, 2, 1, priced, "", "running").details == [
        "1 failed",
        "1,000 calls",
        "$12.34",
    ]
