"""The file of a journal: what it holds, what it refuses, and what is left of it when it is cut."""

import asyncio
import json
import os
import random
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import LLMResponse, MockProvider, TokenLogprob, TokenUsage, ToolCall, consensus_sync
from executionkit.many import Journal, JournalError, Recorder, Replayer
from executionkit.many._journal import file
from executionkit.many._journal.format import encoded, parsed, reply_from, reply_text
from executionkit.many._journal.journal import book_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def opened(path: Path, **given: Any) -> Journal:
    journal = Journal(path, **given)
    book_of(journal).open("m", "http://h/v1", "labels.label")
    return journal


def reply(text: str = "yes", **fields: Any) -> LLMResponse:
    return LLMResponse(text, usage={"prompt_tokens": 5, "completion_tokens": 2}, **fields)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replayable(journal: Journal, row: str) -> int:
    return sum(map(len, book_of(journal).replies_of(row).values()))


def write_some(journal: Journal) -> None:
    """A row that is done, one that failed, one that is open; a failed call; one whose outcome is unknown."""
    for row in ("done", "f\\äiled", "open"):
        name = json.dumps(row, ensure_ascii=False)
        book_of(journal).write_sent(name, "a" * 16, 0, (10, 100))
        book_of(journal).write_reply(name, "a" * 16, 0, reply(), None)
    book_of(journal).write_row(
        "done", index=0, digest=7, value={"a": [1, "ü\n"]}, score=0.5, cost=TokenUsage(5, 2, 1)
    )
    book_of(journal).write_row("f\\äiled", index=1, error='ValueError: "no"', cost=TokenUsage(5, 2, 1))
    book_of(journal).write_sent('"open"', "b" * 16, 0, (10, 100))
    book_of(journal).write_failure('"open"', "b" * 16, 0, JournalError(), None, dispatched=True)
    book_of(journal).write_sent('"open"', "b" * 16, 0, (10, 100))


def test_what_is_in_a_journal_is_there_when_it_is_opened_again(path: Path) -> None:
    with opened(path) as journal:
        write_some(journal)
        before = journal.usage
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with opened(path) as journal:
        assert journal.usage == before == TokenUsage(15, 6, 5)
        assert book_of(journal).spent() == (TokenUsage(15, 6, 5), TokenUsage(10, 100), 1)
        assert journal.unknown_calls == 1
        assert [journal.is_done(row) for row in ("done", "f\\äiled", "open", "new")] == [
            True,
            False,
            False,
            False,
        ]
        assert (
            book_of(journal).digest_of("done"),
            book_of(journal).digest_of("f\\äiled"),
            book_of(journal).digest_of("open"),
        ) == (
            7,
            None,
            None,
        )
        assert [replayable(journal, row) for row in ("done", "f\\äiled", "open")] == [0, 1, 1]
        outcome = journal.outcome("done")
        assert outcome is not None
        assert (outcome.index, outcome.value, outcome.score, outcome.error) == (
            0,
            {"a": [1, "ü\n"]},
            0.5,
            None,
        )
        assert outcome.cost == TokenUsage(5, 2, 1)
        assert [row.row for row in journal.rows()] == ["done", "f\\äiled"]
        # A failed row is tried again, and its last outcome counts.
        book_of(journal).write_row("f\\äiled", index=1, value=1)
        assert [(row.row, row.value) for row in Journal(path).rows()] == [
            ("done", {"a": [1, "ü\n"]}),
            ("f\\äiled", 1),
        ]
        assert len(list(Journal(path).calls())) == 3
        # Rows end in any order, and can be had in that of the input.
        for row, index in (("late", 9), ("early", 2), ("later", 10)):
            book_of(journal).write_row(row, index=index, value=index)
        for ordered in (journal.rows(ordered=True), Journal(path).rows(ordered=True)):
            assert [row.value for row in ordered][1:] == [1, 2, 9, 10]


def test_the_lines_have_the_names_of_the_format(path: Path) -> None:
    with opened(path) as journal:
        write_some(journal)
    job, _, sent, call = lines(path)[:4]
    assert {name: job[name] for name in ("t", "format", "model", "base_url", "step", "version")} == {
        "t": "job",
        "format": 1,
        "model": "m",
        "base_url": "http://h/v1",
        "step": "labels.label",
        "version": "",
    }
    assert sent == {"t": "sent", "row": "done", "req": "a" * 16, "n": 0, "most": [10, 100]}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    rest = {"content": "yes", "finish": "stop", "usage": usage, "cost": [5, 2, 1]}
    assert call == {"t": "call", "row": "done", "req": "a" * 16, "n": 0, **rest}
    row = next(line for line in lines(path) if line["t"] == "row")
    assert list(row) == ["t", "row", "i", "digest", "value", "score", "error", "cost"]


def test_a_journal_cut_at_any_byte_keeps_its_whole_lines(path: Path) -> None:
    with opened(path, sync="never") as journal:
        book_of(journal).write_sent('"done"', "a" * 16, 0, (10, 100))
        book_of(journal).write_reply('"done"', "a" * 16, 0, reply("ü"), None)
        book_of(journal).write_row("done", index=0, digest=7, value="ü", cost=TokenUsage(5, 2, 1))
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.unlink()  # to write into a file that was cut takes milliseconds
        path.write_bytes(whole[:end])
        kept = whole[: whole.rfind(b"\n", 0, end) + 1]
        with opened(path, sync="never") as journal:
            assert journal.is_done("done") == (b'"row":"done","i":0' in kept)
            assert journal.usage.llm_calls == kept.count(b'{"t":"sent"')
        after = path.read_bytes()
        assert after.startswith(kept)
        assert all(parsed(line) is not None for line in after.splitlines())


def test_a_long_journal_cut_anywhere_keeps_its_whole_lines(path: Path) -> None:
    with opened(path, sync="never") as journal:
        for row in range(1500):
            book_of(journal).write_sent(f'"{row}"', f"{row:016x}", 0, (10, 100))
            book_of(journal).write_reply(f'"{row}"', f"{row:016x}", 0, reply("ja " * (row % 40)), None)
            book_of(journal).write_row(str(row), index=row, digest=row, value="ja", cost=TokenUsage(5, 2, 1))
    whole = path.read_bytes()
    chance = random.Random(14)
    for end in [chance.randrange(len(whole)) for _ in range(60)]:
        path.unlink()  # to write into a file that was cut takes milliseconds
        path.write_bytes(whole[:end])
        kept = whole[: whole.rfind(b"\n", 0, end) + 1]
        done = kept.count(b'{"t":"row"')
        with opened(path, sync="never") as journal:
            assert journal.rows_done == done
            assert journal.usage == TokenUsage(
                5 * kept.count(b'{"t":"call"'), 2 * kept.count(b'{"t":"call"'), kept.count(b'{"t":"sent"')
            )
            assert [book_of(journal).digest_of(str(row)) for row in (0, done - 1)] == (
                [0, done - 1] if done else [None, None]
            )


JOB = b'{"t":"job","format":1,"model":"%b","base_url":"http://h/v1","step":"%b"}\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"a": 1}\n', "is not a journal"),
        (b"some text without an end", "is not a journal"),
        (b'{"t":"job","format":2,"model":"m"}\n', "line 1: the journal has format 2"),
        (JOB % (b"m", b"labels.label") + b'{"t":"row",\n', "line 2"),
        (JOB % (b"other", b"labels.label"), "for model 'other'"),
        (JOB % (b"m", b"x"), "for step 'x'"),
    ],
)  # fmt: skip
def test_what_is_not_this_jobs_journal_is_refused_and_left_as_it_is(
    path: Path, content: bytes, told: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match=told):
        opened(path)
    assert path.read_bytes() == content


def test_lines_of_other_kinds_and_further_fields_are_passed_over(path: Path) -> None:
    with opened(path) as journal:
        write_some(journal)
    with opened(path) as journal:
        before = book_of(journal).spent()
    text = path.read_text(encoding="utf-8").replace('"cost":', '"new":{"cost":[1,1,1]},"cost":')
    # As other programs write JSON: with spaces, escapes, and keys in another order.
    text = text.replace('{"t":"row","row":"done",', '{ "t": "row", "row": "d\\u006fne", ')
    text = text.replace('{"t":"call","row":"open",', '{"t":"call", "row": "\\u006fpen", ')
    path.write_text(text + '{"t":"later","row":"done"}\n', encoding="utf-8")
    with opened(path) as journal:
        assert book_of(journal).spent() == before
        assert journal.is_done("done")


def test_another_version_begins_afresh_in_the_same_file(path: Path) -> None:
    with opened(path) as journal:
        write_some(journal)
    with opened(path, version="2") as journal:
        assert not journal.is_done("done")
        assert book_of(journal).spent().usage == TokenUsage()
        assert journal.usage == TokenUsage(15, 6, 5)
        book_of(journal).write_row("done", value="new")
    with opened(path) as journal:
        assert journal.outcome("done").value == {"a": [1, "ü\n"]}  # type: ignore[union-attr]
        assert book_of(journal).spent().usage == TokenUsage(15, 6, 5)


def test_compacting_keeps_all_that_a_later_start_asks_for(path: Path) -> None:
    with opened(path) as journal:
        write_some(journal)
        book_of(journal).append({"t": "mine", "row": "open"})
        before = (
            book_of(journal).spent(),
            journal.usage,
            list(journal.rows()),
            replayable(journal, "open"),
        )
        size = path.stat().st_size
        for _ in range(2):  # the second time, of what the first one wrote
            journal.compact()
            assert (
                book_of(journal).spent(),
                journal.usage,
                list(journal.rows()),
                replayable(journal, "open"),
            ) == before
        assert path.stat().st_size < size
        with pytest.raises(JournalError, match="another process"):
            opened(path)
    with opened(path) as journal:
        assert (
            book_of(journal).spent(),
            journal.usage,
            list(journal.rows()),
            replayable(journal, "open"),
        ) == before
    assert {"t": "mine", "row": "open"} in lines(path)
    assert not list(path.parent.glob("*.new"))


def test_two_processes_cannot_write_one_journal(path: Path) -> None:
    code = f"""
        from executionkit.many import JournalError
        from executionkit.many._journal.book import Book
        try:
            Book({os.fspath(path)!r}, "group", "").open("m", "http://h/v1", "labels.label")
        except JournalError as error:
            print(error)
    """
    with opened(path) as journal:
        write_some(journal)
        told = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
        ).stdout
        assert f"another process is writing it (process {os.getpid()})" in told
        assert [row.row for row in Journal(path).rows()] == ["done", "f\\äiled"]  # reading needs no lock


def test_a_value_that_json_lacks_is_refused_before_anything_is_written(path: Path) -> None:
    with opened(path) as journal:
        size = path.stat().st_size
        for value in ({1, 2}, float("nan"), object()):
            with pytest.raises(TypeError, match="no form for the value of row '3'"):
                book_of(journal).write_row("3", value=value)
        assert path.stat().st_size == size


def test_a_full_disk_ends_the_work_and_what_was_written_stays(path: Path) -> None:
    code = f"""
        import asyncio, resource
        from executionkit import LLMResponse, MockProvider, consensus
        from executionkit.many import Journal, JournalError, Recorder

        async def main():
            journal = Journal({os.fspath(path)!r})
            provider = MockProvider(["x" * 300])
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
            try:
                await consensus(Recorder(provider, journal), "?", num_samples=30, max_concurrency=1)
            except JournalError as error:
                print(len(provider.calls), error.cost.llm_calls, str(error))

        asyncio.run(main())
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    ).stdout
    calls = int(told.split()[0])
    assert 1 < calls < 10
    assert told.split()[1] == str(calls)
    assert "can't be written (File too large)" in told
    assert Journal(path).usage.llm_calls in (calls, calls - 1)
    assert path.read_bytes().endswith(b"\n")


def test_outcomes_as_a_table(path: Path, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    with opened(path) as journal:
        book_of(journal).write_row("a", index=0, value="ja", score=0.5, cost=TokenUsage(5, 2, 1, usd="0.25"))
        book_of(journal).write_row("b", index=1, error="no")
        journal.to_parquet(tmp_path / "texts.parquet")
        book_of(journal).write_row("c", index=2, value=[1])
        journal.to_parquet(tmp_path / "mixed.parquet")
    texts = polars.read_parquet(tmp_path / "texts.parquet")
    assert texts.rows() == [
        ("a", 0, "ja", 0.5, None, 5, 2, 1, 0.25),
        ("b", 1, None, None, "no", 0, 0, 0, None),
    ]
    mixed = polars.read_parquet(tmp_path / "mixed.parquet")
    assert mixed["value"].to_list() == ['"ja"', None, "[1]"]


TEXTS = st.text(st.characters(), max_size=12)
CALLS = st.builds(
    ToolCall,
    TEXTS,
    TEXTS,
    st.dictionaries(
        TEXTS, st.recursive(st.none() | st.booleans() | st.integers() | TEXTS, st.lists, max_leaves=4)
    ),
    invalid_arguments=st.none() | TEXTS,
)
LOGPROBS = st.builds(TokenLogprob, TEXTS, st.floats(max_value=0, allow_nan=False), st.just(()))
REPLIES = st.builds(
    LLMResponse,
    TEXTS,
    st.lists(CALLS, max_size=2),
    TEXTS.filter(bool),
    st.dictionaries(
        TEXTS, st.integers() | TEXTS | st.floats(allow_nan=False, allow_infinity=False), max_size=3
    ),
    reasoning=TEXTS,
    refusal=TEXTS,
    alternatives=st.lists(st.builds(LLMResponse, TEXTS, reasoning=TEXTS), max_size=2),
    request_id=st.none() | TEXTS,
    logprobs=st.lists(LOGPROBS, max_size=2).map(tuple),
)


@given(REPLIES)
def test_a_reply_comes_back_from_the_journal_as_it_was(given: LLMResponse) -> None:
    line = encoded(f"{{{reply_text(given)}}}")
    assert b"\n" not in line
    found = parsed(line)
    assert found is not None
    assert reply_from(found) == given


def test_keys_headers_and_raw_are_not_in_it(path: Path) -> None:
    whole = reply(
        raw={"choices": [{"message": {"content": "yes"}}], "x": "RAW"}, headers={"x-request": "HEADER"}
    )
    with Journal(path) as journal:
        safe = Replayer(Recorder(MockProvider([whole]), journal), journal)
        consensus_sync(safe, "PROMPT", num_samples=1)
    text = path.read_text(encoding="utf-8")
    assert "yes" in text
    assert not any(secret in text for secret in ("RAW", "HEADER", "PROMPT"))


async def test_replies_that_come_in_one_turn_share_a_flush(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(file, "_flush", flushed.append)
    with opened(path) as journal:
        flushed.clear()  # what was there when it was opened
        recorder = Recorder(MockProvider(["yes"] * 64), journal)
        ask = [{"role": "user", "content": "?"}]
        await asyncio.gather(*(recorder.complete(ask) for _ in range(64)))
        assert len(flushed) == 1


def test_a_turn_of_a_loop_that_ended_holds_up_no_other_loop(path: Path) -> None:
    with opened(path) as journal:
        loop = asyncio.new_event_loop()
        left = loop.create_task(book_of(journal).commit())
        loop.call_soon(loop.stop)
        loop.run_forever()  # it stops between the turn in which the commit was asked for and the next
        assert not left.done()
        asyncio.run(asyncio.wait_for(book_of(journal).commit(), 10))
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(left)
        loop.close()
