"""The view of each scene's result: what came back, in rows and bars."""

from collections.abc import Mapping, Sequence
from typing import Any

from executionkit import (
    BestOfNResult,
    ConsensusResult,
    MapReduceResult,
    PipeResult,
    ReactResult,
    RefineResult,
    StructuredResult,
)
from executionkit._demo.kill import Resumed
from executionkit._demo.scenes import COMPLAINTS
from executionkit._display._line import counted
from executionkit._screen import BOLD, GREEN, RED, YELLOW, Screen

UNREAD = "a tool call written as text: the server doesn't read it"


def show_votes(result: ConsensusResult[str], screen: Screen) -> None:
    """The answers, each with its votes."""
    for place, (answer, votes) in enumerate(result.votes):
        label = f"{votes} of {result.samples_used}"
        screen.bar(label, votes / result.samples_used, answer, RED if place else GREEN)
    screen.row("answer", result.value, BOLD)


def show_candidates(result: BestOfNResult, screen: Screen) -> None:
    """The candidates, the best first."""
    judged = [(score or 0.0, text) for score, text in zip(result.scores, result.candidates, strict=True)]
    for score, text in sorted(judged, reverse=True):
        screen.bar("candidate", score, f"{score:.2f}  {text}", GREEN if score == result.score else "")
    if result.undecided:
        screen.row("undecided", "all have the same score; the first one is returned", YELLOW)
    screen.row("answer", result.value, BOLD)


def show_attempts(result: RefineResult, screen: Screen) -> None:
    """The texts, each with its score."""
    for number, attempt in enumerate(result.attempts):
        label, score = f"round {number}" if number else "first", attempt.score or 0.0
        screen.bar(label, score, f"{score:.2f}  {attempt.text}", GREEN if score == result.score else "")
    screen.row("stopped", f"{result.stop_reason}, after {counted(result.iterations, 'improvement')}")
    screen.row("answer", result.value, BOLD)


def show_tools(result: ReactResult, screen: Screen) -> None:
    """The tool calls, and the answer."""
    _show_messages(result.messages, screen)
    if result.unread_tool_calls:
        screen.row("no answer", UNREAD, YELLOW)
        screen.row("text", result.value)
    else:
        screen.row("answer", result.value, BOLD)


def show_data(result: StructuredResult[Any], screen: Screen) -> None:
    """The value, and how often it had to be asked for again."""
    screen.row("value", str(result.value), BOLD)
    asked = f"{result.repair_attempts} x, with what was wrong"
    screen.row("asked again", asked if result.repair_attempts else "never")


def show_summary(result: MapReduceResult, screen: Screen) -> None:
    """The result for each input, and that of all."""
    for number, (text, reply) in enumerate(zip(COMPLAINTS, result.map_results, strict=True), 1):
        screen.row(f"input {number}", f"{text} → {reply}")
    screen.row("answer", result.value, BOLD)


def show_steps(result: PipeResult[str], screen: Screen) -> None:
    """The vote, the scores, and the answer."""
    voted, refined = result.step_metadata
    screen.row("step 1", f"{voted['agreement_ratio']:.0%} agree, {voted['unique_responses']} different")
    screen.row("step 2", "scores " + ", ".join(f"{score:.2f}" for score in refined["score_history"]))
    screen.row("answer", result.value, BOLD)


def show_talk(result: ReactResult, screen: Screen) -> None:
    """Both turns."""
    _show_messages(result.messages, screen, with_texts=True)
    if result.unread_tool_calls:
        screen.row("no answer", UNREAD, YELLOW)
    if any(message["role"] == "tool" for message in result.messages):
        screen.row("approval", "`approve` decides here; ask_on_terminal would ask you")
    else:
        screen.row("approval", "not asked for, because no tool was called", YELLOW)


def show_resumed(resumed: Resumed, screen: Screen) -> None:
    """Both starts, and the calls that were sent twice."""
    result = resumed.result
    screen.row("1st start", resumed.first, RED if resumed.was_killed else YELLOW)
    if resumed.was_killed:
        screen.row("in flight", f"{counted(result.unknown_calls, 'call')}, whose replies were lost")
    screen.row("2nd start", f"{result.skipped} rows out of the journal, {result.rows - result.skipped} more")
    if resumed.asked_twice is not None:
        of_all = f"{resumed.asked_twice} of {counted(result.cost.llm_calls, 'call')}"
        screen.row("sent twice", f"{of_all}, by the endpoint's ledger")
    elif resumed.was_killed:
        screen.row("sent twice", f"at most {counted(result.unknown_calls, 'call')}, by the journal")
    if result.failed:
        screen.row("failed", f"{result.failed} rows: {result.failures[0].error}", YELLOW)
    total = sum(resumed.labels.values())
    for label, times in resumed.labels.most_common(3):
        screen.bar(f"{times} of {total}", times / total, label)


def _show_messages(
    messages: Sequence[Mapping[str, Any]], screen: Screen, *, with_texts: bool = False
) -> None:
    """The tool calls of a conversation and what came of them; and the texts if asked to."""
    for message in messages:
        for call in message.get("tool_calls") or ():
            screen.row("tool call", f"{call['function']['name']}({call['function']['arguments']})")
        text = str(message["content"] or "")
        if message["role"] == "tool":
            went_wrong = text.startswith(("Error", "declined"))
            screen.row("  result", text, YELLOW if went_wrong else GREEN)
        elif with_texts and text:
            screen.row(message["role"], text, BOLD if message["role"] == "assistant" else "")
