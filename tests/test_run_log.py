"""The run log: what is in the file, whatever happens to the run, to the disk and to the process."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes import NO_WAIT

from executionkit import (
    BudgetExhaustedError,
    Kit,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    TokenUsage,
    ToolCall,
    consensus,
    consensus_sync,
    pipe,
    react_loop,
)
from executionkit.observe import install, observe, uninstall
from executionkit.run_log import RunLog
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint

KEY = "sk-abcdefghijklmnop"
Event = dict[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def events(path: Path, *kinds: str) -> list[Event]:
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [event for event in found if event["event"] in kinds] if kinds else found


def tree(path: Path) -> list[Any]:
    """The names of spans, each with those inside it."""
    inside: dict[str | None, list[Event]] = {}
    for event in events(path, "run", "call", "tool"):
        inside.setdefault(event.get("parent"), []).append(event)

    def named(parent: str | None) -> list[Any]:
        found = [(event.get("name", event["event"]), named(event["id"])) for event in inside.get(parent, [])]
        return [(name, inner) if inner else name for name, inner in found]

    return named(None)


def written(path: Path) -> str:
    return path.read_text(encoding="utf-8")


class Model:
    """Fails the second request, has a tool called that asks the model itself, and fails the next round."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: ChatRequest) -> Answer:
        self.asked += 1
        if self.asked == 2:
            return Fault.status(503)
        if not request.tools:
            return "Paris"
        if request.messages[-1]["role"] == "tool":
            return Fault.status(400, body={"error": {"message": "a long story", "code": "bad_request"}})
        return LLMResponse("", [ToolCall("c1", "ask", {"city": "Paris"}), ToolCall("c2", "none", {})])


async def test_a_retried_and_nested_run_that_fails_agrees_with_the_ledger(path: Path) -> None:
    with LocalEndpoint(Model()) as endpoint:
        async with Provider(endpoint.base_url + "?key=s3cret", "gpt-4o-mini", KEY) as provider:

            async def ask(city: str) -> str:
                """Ask another model, which the loop does not pay for."""
                return (await consensus(provider, f"Is {city} large?", num_samples=1)).value

            vote, loop = partial(consensus, num_samples=2), partial(react_loop, tools=[ask])
            with RunLog(path) as log, observe(log), pytest.raises(PermanentError) as caught:
                await pipe(provider, "The capital of France?", vote, loop, retry=NO_WAIT)
            ledger, base_url = endpoint.ledger.usage, endpoint.base_url
    inside = ["call", ("ask", [("consensus", ["call"])]), "tool", "call"]
    assert tree(path) == [("pipe", [("consensus", ["call", "call"]), ("react_loop", inside)])]
    spent = [event["usage"] for event in events(path, "call_end")]
    names = ("input_tokens", "output_tokens", "llm_calls")
    assert TokenUsage(*(sum(usage[name] for usage in spent) for name in names)) == ledger
    ends = {event["id"]: event for event in events(path, "run_end")}
    (outermost,) = [ends[event["id"]] for event in events(path, "run") if event["name"] == "pipe"]
    assert TokenUsage(**outermost["usage"]) == caught.value.cost
    refused = {"type": "PermanentError", "status": 400, "code": "bad_request"}
    assert {key: outermost["error"][key] for key in refused} == refused
    (retry,) = events(path, "retry")
    assert (retry["attempt"], retry["error"]["status"]) == (1, 503)
    (vote,) = [end["figures"] for end in ends.values() if end.get("figures", {}).get("samples_used") == 2]
    assert vote["agreement_ratio"] == 1.0
    assert {event["base_url"] for event in events(path, "run")} == {base_url}


async def test_a_key_in_the_path_of_a_base_url_is_not_written(path: Path) -> None:
    gateway: Any = MockProvider(["a"])
    gateway.base_url = f"https://user:s3cret@gateway.example/{KEY}/http://u:s3cret@upstream/v1?key=s3cret"
    with RunLog(path) as log, observe(log):
        await consensus(gateway, "q", num_samples=1)
    shown = "https://gateway.example/[REDACTED]/http://upstream/v1"
    assert {event["base_url"] for event in [*events(path, "run"), *events(path, "call")]} == {shown}


async def test_fifty_runs_at_once_have_their_own_calls(path: Path) -> None:
    async def ask(number: int) -> None:
        await pipe(MockProvider(["Paris"]), f"question {number}", partial(consensus, num_samples=2))

    with RunLog(path, content=True) as log, observe(log):
        await asyncio.gather(*map(ask, range(50)))
    assert tree(path) == [("pipe", [("consensus", ["call", "call"])])] * 50
    prompts: dict[str, set[str]] = {}
    for call in events(path, "call"):
        # The second call has the conversation of the first.
        if "like" in call:
            assert call["conversation"] == []
            assert call["like"]["call"] in prompts[call["parent"]]
        else:
            prompts[call["parent"]] = {call["id"], call["conversation"][0]["text"]}
    assert len({text for texts in prompts.values() for text in texts if "question" in text}) == 50


async def test_a_stream_that_is_left_in_another_task_is_around_nothing(path: Path) -> None:
    kit = Kit(MockProvider(["Paris"]))
    with RunLog(path) as log, observe(log):
        stream = kit.stream("The capital of France?")
        await stream.__aenter__()
        await kit.consensus("The capital of Peru?", num_samples=1)
        await asyncio.create_task(stream.__aexit__(None, None, None))
    assert tree(path) == ["call", ("consensus", ["call"])]
    (left,) = [event for event in events(path, "call_end") if "error" in event]
    assert left["error"]["type"] == "LeftEarlyError"
    assert events(path, "stream")


SECRETS = {
    *("a prompt of mine", "a reply of its", "an argument of its", "an observation of mine"),
    *("the message of an error", "a name that is none", "a system message"),
}


async def talk(path: Path, *, content: bool) -> None:
    def look(at: str) -> str:
        """Look."""
        if "error" in at:
            raise ValueError("the message of an error")
        return f"an observation of mine, {KEY}" + "x" * 20_000

    asked = [ToolCall(str(n), "look", {"at": at}) for n, at in enumerate(["an argument of its", "error"])]
    replies: Sequence[Any] = [
        LLMResponse("", [*asked, ToolCall("3", "a name that is none", {})]),
        LLMResponse("", [asked[0], ToolCall("4", "final_answer_2", {})]),
        "a reply of its",
        PermanentError("the message of an error"),
    ]
    provider = MockProvider(replies)
    with RunLog(path, content=content) as log, observe(log):
        prompt = f"a prompt of mine, {KEY}"
        await react_loop(provider, prompt, [look], system="a system message", max_observation_chars=30_000)
        with pytest.raises(PermanentError):
            await consensus(provider, "a prompt of mine", num_samples=1)


async def test_no_content_unless_it_is_asked_for(path: Path) -> None:
    await talk(path, content=False)
    text = written(path)
    assert not [secret for secret in {*SECRETS, KEY} if secret in text]
    names = [event.get("name") for event in events(path, "tool")]
    assert names == ["look", "look", None, "look", "final_answer_2"]
    assert [event.get("error", {}).get("type") for event in events(path, "tool_end")].count("ValueError") == 1


async def test_content_is_without_credentials_and_bounded(path: Path) -> None:
    await talk(path, content=True)
    text = written(path)
    assert not [secret for secret in SECRETS if secret not in text]
    assert KEY not in text
    # Each round sends the conversation so far, which is written once.
    assert text.count("a system message") == 1
    first, second = (event["text"] for event in events(path, "tool_end") if "of mine" in event["text"])
    assert first == second
    assert len(first) < 8_100
    assert first.endswith("characters in all]")


PROGRAM = """\
import asyncio, os, sys
from executionkit import MockProvider, consensus
from executionkit.observe import install
from executionkit.run_log import RunLog

async def main():
    for _ in range(20):
        await consensus(MockProvider(["x " * 3000]), "y " * 3000, num_samples=2)

log = RunLog(sys.argv[1], content=True)
install(log)
print("ready", flush=True)
sys.stdin.readline()
child = os.fork()
asyncio.run(main())
if child:
    assert os.waitpid(child, 0)[1] == 0 and log.lost == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_append_to_one_file(path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(path)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        process.communicate(b"\n", timeout=50)
        assert process.returncode == 0
    assert len(events(path, "log")) == 4
    begun = events(path, "run", "call")
    assert len({event["id"] for event in begun}) == len(begun) == 4 * 20 * 3
    assert tree(path) == [("consensus", ["call", "call"])] * 80


def test_a_log_begins_a_line_after_one_that_was_cut_off(path: Path) -> None:
    path.write_bytes(b'{"v":1,"event":"ru')
    with RunLog(path) as log, observe(log):
        consensus_sync(MockProvider(["Paris"]), "q", num_samples=1)
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    assert tree(path) == [("consensus", ["call"])]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
async def test_a_full_disk_breaks_no_run(caplog: pytest.LogCaptureFixture) -> None:
    with RunLog("/dev/full") as log, observe(log), caplog.at_level(logging.WARNING):
        assert (await consensus(MockProvider(["Paris"]), "q", num_samples=1)).value == "Paris"
    assert log.lost == 5
    (record,) = [record for record in caplog.records if record.name == "executionkit.run_log"]
    assert "No space left on device" in record.getMessage()


def test_a_line_that_is_taken_in_part_spoils_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, sizes = os.write, iter([10])
    with RunLog(path) as log, observe(log):
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: next(sizes, len(data))]))
        consensus_sync(MockProvider(["Paris"]), "q", num_samples=1)
    monkeypatch.undo()
    header, cut, *rest = path.read_bytes().splitlines()
    assert len(cut) == 10
    assert [json.loads(line)["event"] for line in (header, *rest)] == ["log", "call", "call_end", "run_end"]
    assert log.lost == 1


async def test_a_closed_log_breaks_no_run(path: Path) -> None:
    log = RunLog(path)
    install(log)
    try:
        await consensus(MockProvider(["Paris"]), "q", num_samples=1)
        log.close()
        log.close()
        await consensus(MockProvider(["Paris"]), "q", num_samples=1)
    finally:
        uninstall(log)
    assert tree(path) == [("consensus", ["call"])]
    assert log.lost == 4


async def test_another_log_inside_has_parents_of_its_own(tmp_path: Path) -> None:
    paths = [tmp_path / "outer", tmp_path / "inner"]
    with RunLog(paths[0]) as outer, RunLog(paths[1]) as inner, observe(outer):

        async def step(provider: Any, prompt: str) -> Any:
            with observe(inner):
                return await consensus(provider, prompt, num_samples=1)

        await pipe(MockProvider(["Paris"]), "q", step)
    assert tree(paths[0]) == [("pipe", [("consensus", ["call"])])]
    assert tree(paths[1]) == [("consensus", ["call"])]


def test_a_file_is_for_its_owner_and_one_that_cannot_be_made_is_told_at_once(path: Path) -> None:
    with RunLog(path) as log:
        assert path.stat().st_mode & 0o777 == 0o600
        assert repr(log) == f"RunLog({str(path)!r}, content=False)"
    with pytest.raises(FileNotFoundError):
        RunLog(path.parent / "no" / "run.jsonl")


async def test_a_cancelled_run_says_so(path: Path) -> None:
    held = asyncio.Event()

    class Slow(MockProvider):
        async def complete(self, *_: Any, **__: Any) -> LLMResponse:
            held.set()
            return await asyncio.Future()

    with RunLog(path) as log, observe(log):
        task = asyncio.create_task(consensus(Slow([]), "q", num_samples=1))
        await held.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    ended = events(path, "call_end", "run_end")
    assert [event["error"]["type"] for event in ended] == ["CancelledError"] * 2
    assert ended[-1]["usage"]["llm_calls"] == 1


async def test_a_refused_call_is_in_the_log(path: Path) -> None:
    provider = MockProvider([LLMResponse("", [ToolCall("1", "no", {})])])
    with RunLog(path) as log, observe(log), pytest.raises(BudgetExhaustedError):
        await react_loop(provider, "q", [], max_cost=TokenUsage(llm_calls=1))
    assert events(path, "run_end")[0]["error"]["type"] == "BudgetExhaustedError"
