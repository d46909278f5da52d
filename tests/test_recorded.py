"""Files that an earlier version wrote are read: a promise of docs/stability.md."""

import json
from pathlib import Path
from shutil import copy

import pytest

from executionkit import Conversation, LLMProvider, MockProvider, PatternResult, consensus
from executionkit._cli.app import main
from executionkit.many import run_many

RECORDED = Path(__file__).with_name("recorded")
ROWS = ["Lovely.", "It broke.", "Does what it says."]


async def label(provider: LLMProvider, row: str) -> PatternResult[str]:
    return await consensus(provider, f"Label this review: {row}", num_samples=1)


async def test_a_job_goes_on_from_a_journal_of_an_earlier_version(tmp_path: Path) -> None:
    """Two rows are done. Of the third there is the reply, but not the outcome."""
    journal = copy(RECORDED / "journal-1.jsonl", tmp_path)
    provider = MockProvider(exception=AssertionError("everything was paid for"))
    result = await run_many(provider, ROWS, label, journal=journal, id=lambda row: row.split()[0])
    assert (result.done, result.failed, result.cost.llm_calls) == (3, 0, 3)
    assert provider.call_count == 0


def test_a_run_log_of_an_earlier_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(RECORDED / "run-log-1.jsonl")]) == 0
    shown = capsys.readouterr().out
    assert "rounds 2, tool_calls_made 1" in shown
    assert "tool price" in shown


async def test_a_conversation_of_an_earlier_version_goes_on() -> None:
    data = json.loads((RECORDED / "conversation.json").read_text(encoding="utf-8"))
    provider = MockProvider(["Ada."])
    chat = Conversation.from_dict(provider, data)
    await chat.send("My name?")
    assert provider.last_call is not None
    texts = [each["content"] for each in provider.last_call.messages]
    assert texts[:4] == ["Be brief.", "I am Ada.", "Hello, Ada.", "My name?"]
    assert chat.usage.llm_calls == 2
