"""`python -m executionkit show`: the tree and the page of a log, whole, cut off, or made to do harm."""

import io
import json
import os
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fakes import NO_WAIT

from executionkit import MockProvider, ProviderError, consensus_sync, react_loop_sync
from executionkit._cli.app import main
from executionkit._screen import Screen
from executionkit._show.log import LogError, read
from executionkit._show.page import page
from executionkit._show.tree import draw
from executionkit.observe import observe
from executionkit.run_log import RunLog


def line(event: str, key: str | None = None, **facts: Any) -> bytes:
    found = {"v": 1, "event": event, "time": "2026-11-30T18:00:00.000000Z", "id": key, **facts}
    return json.dumps(found).encode() + b"\n"


WHOLE = [
    line("log", process=7, library="0.2.0", content=False),
    line("run", "a-1", name="pipe", model="gpt", base_url="http://localhost/v1", max_cost={"llm_calls": 9}),
    line("run", "a-2", parent="a-1", name="consensus", model="gpt"),
    line("call", "a-3", parent="a-2", model="gpt", messages=1, temperature=0.9),
    line("retry", "a-3", attempt=1, wait=1.25, error={"type": "ProviderError", "status": 503}),
    line("wait", "a-3", seconds=75),
    line(
        *("call_end", "a-3"),
        seconds=0.5,
        usage={"input_tokens": 1200, "output_tokens": 30, "llm_calls": 2, "usd": "0.00021"},
        cached_tokens=1000,
        reasoning_tokens=12,
        finish_reason="length",
    ),
    line("tool", "a-4", parent="a-2", name="add"),
    line("tool_end", "a-4", seconds=0.004, ran=False, truncated=True, error={"type": "KeyError"}),
    line(
        *("run_end", "a-2"),
        seconds=2,
        usage={"input_tokens": 1200, "output_tokens": 30, "llm_calls": 2, "usd": "0.00021"},
        figures={"agreement_ratio": 2 / 3, "failed": 0, "scores": [0.25, 1]},
    ),
    line(
        *("run_end", "a-1"),
        seconds=7322,
        usage={"input_tokens": 1200, "output_tokens": 30, "llm_calls": 2, "usd": "0.00021"},
        error={"type": "RateLimitError", "status": 429, "code": "slow_down"},
    ),
]

TREE = """\
run.jsonl: 1 run, 1 failed, 2026-11-30 18:00:00 UTC

                                          time calls    input  output    dollars
pipe                                  2 h 02 m     2    1,200      30   $0.00021
│  failed: RateLimitError, HTTP 429, slow_down
└─ consensus                            2.00 s     2    1,200      30   $0.00021
   │  agreement_ratio 0.6667, scores 0.25 1
   ├─ call gpt                          500 ms     2    1,200      30   $0.00021
   │     attempt 1 failed: ProviderError, HTTP 503; waited 1.25 s
   │     waited 75.0 s for room in a budget
   │     1,000 tokens cached, 12 tokens for reasoning, finish_reason length
   └─ tool add                          4.0 ms
         did not run, its observation was cut
         failed: KeyError
"""

Show = Any


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Shows a file of these bytes; returns the status, the output and the errors."""

    def show(data: bytes, *options: str) -> tuple[int, str, str]:
        path = tmp_path / "run.jsonl"
        path.write_bytes(data)
        status = main(["show", str(path), *options])
        out, errors = capsys.readouterr()
        return status, out, errors

    return show


def test_the_tree_says_everything_in_80_columns(show: Show) -> None:
    assert show(b"".join(WHOLE)) == (0, TREE, "")


@pytest.mark.parametrize(
    ("second", "dollars"),
    [({"usd": "1.3"}, "$1.30"), ({}, ""), ({"output_tokens": 0}, "$0.00021")],
)
def test_the_last_line_sums_calls_and_no_unknown_dollars(
    second: dict[str, Any], dollars: str, show: Show
) -> None:
    usage = {"input_tokens": 0, "output_tokens": 7, "llm_calls": 1, **second}
    alone = [line("call", "b", run="stream"), line("call_end", "b", seconds=1, usage=usage)]
    out = show(b"".join([*WHOLE, *alone]))[1]
    assert "\ncall of stream " in out
    tokens = 30 + usage["output_tokens"]
    assert out.splitlines()[-1].split()[3:] == ["3", "1,200", str(tokens), *[dollars] * bool(dollars)]


def test_what_is_unknown_is_passed_over_and_what_is_unreadable_is_told(show: Show) -> None:
    further = [
        line("weather", "a-1", rain=True),
        *(each.replace(b"{", b'{"more": [1],', 1) for each in WHOLE),
    ]
    data = b"\n".join([b"".join(further), b"[]", b"\xff\xfe", b'{"v": 1, "event": "run", "name"'])
    status, out, _ = show(data)
    assert status == 0
    assert out.startswith(TREE)
    assert "2 lines are no event of a run log and left out: 14, 15" in out
    assert "The last line is incomplete" in out


def small_log(path: Path) -> bytes:
    provider = MockProvider([ProviderError("no"), "Paris"])
    with RunLog(path) as log, observe(log):
        consensus_sync(provider, "q", num_samples=1, retry=NO_WAIT)
    return path.read_bytes()


def test_a_log_can_be_shown_wherever_it_was_cut_off(tmp_path: Path, show: Show) -> None:
    data = small_log(tmp_path / "small")
    lines = data.splitlines(keepends=True)
    kinds = [json.loads(each)["event"] for each in lines]
    assert kinds == ["log", "run", "call", "retry", "call_end", "run_end"]
    known = None
    for place in range(1, len(data) + 1):
        cut = data[:place]
        # A line is whole when it can be read, with its end or without.
        last = cut.rpartition(b"\n")[2] + b"\n"
        if last in lines:
            known = read(lines[: lines.index(last) + 1])
        if known is None:
            with pytest.raises(LogError, match="only the beginning"):
                read(io.BytesIO(cut))
        else:
            found = read(io.BytesIO(cut))
            assert (found.roots, found.unread) == (known.roots, [])
            assert found.is_torn == (last != b"\n" and last not in lines)
    unfinished = [show(b"".join(lines[:count]))[1].count("unfinished: ") for count in range(1, 7)]
    assert unfinished == [0, 1, 2, 2, 1, 0]
    without_beginning = show(b"".join(lines[2:]))[1]
    assert "attempt 1 failed: ProviderError" in without_beginning
    assert "its beginning is not in the log" in without_beginning


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b'{"v": 1, "ev', "only the beginning of a line"),
        (b"hello\nworld\n", "is no run log"),
        (b'{"some": "json"}\n', "is no run log"),
        (line("run", "a", name="x") + line("run", "b").replace(b'"v": 1', b'"v": 2'), "line 2 has version 2"),
        (b"[" * 100_000 + b"\n", "is no run log"),
    ],
)
def test_a_file_that_can_not_be_shown(data: bytes, words: str, show: Show) -> None:
    status, out, errors = show(data)
    assert (status, out) == (2, "")
    assert errors.startswith("error: run.jsonl: ")
    assert words in errors


def test_files_that_are_not_there_or_in_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "no\x1b[31mthing")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/no [31mthing: No such file or directory\n"
    assert main(["show", str(tmp_path)]) == 2
    log = tmp_path / "run.jsonl"
    log.write_bytes(WHOLE[0])
    assert main(["show", str(log), "--html", str(log)]) == 2
    assert "over the log" in capsys.readouterr().err
    assert log.read_bytes() == WHOLE[0]
    assert main(["show", str(log), "--html", str(tmp_path / "no" / "page.html")]) == 2


def test_standard_input_and_output(monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> None:
    data = io.BytesIO(WHOLE[0] + WHOLE[1])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="latin-1"))
    assert main(["show", "-"]) == 0
    data.seek(0)
    assert main(["show", "-", "--html", "-"]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert out.startswith("standard input: 1 run, 1 unfinished, 2026")
    assert "<h1>standard input</h1>" in out


HOSTILE: list[Any] = [
    *(
        None,
        True,
        -1,
        1e308,
        10**400,
        "\x1b[31m\u202e<script>alert(1)</script>",
        "NaN",
        "-1e99999",
        "9" * 300,
        "x" * 100_000,
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
    ),
    *([], [[1]], {}, {"type": [1], "usd": "sNaN", "input_tokens": "x", "messages": 3, "call": {}}, [None, 3]),
]


def spoilt() -> Iterator[bytes]:
    """The log with every value of a key replaced by one that has no business there."""
    content = [
        line("call", "c", conversation=[{"role": "user", "text": "hello", "tool_calls": [{"name": "x"}]}]),
        line("call_end", "c", reply={"role": "assistant", "text": "no"}, alternatives=[{"text": "yes"}]),
        line("tool", "t", arguments="{}"),
        line("call", "d", like={"call": "c", "messages": 1}, options={"seed": 3}, streamed=True),
    ]
    sources = [json.loads(each) for each in [*WHOLE, *content]]
    for key in {key for source in sources for key in source} - {"v", "event"}:
        for value in HOSTILE:
            yield b"".join(
                json.dumps(each | ({key: value} if key in each else {})).encode() + b"\n" for each in sources
            )


def test_no_value_breaks_the_drawing_or_the_terminal() -> None:
    for data in spoilt():
        log = read(io.BytesIO(data))
        out = io.StringIO()
        draw(log, "run.jsonl", Screen(out, colour=False, width=80))
        html = "".join(page(log, "run.jsonl"))
        assert "\x1b" not in out.getvalue() + html
        assert "\u202e" not in out.getvalue() + html
        assert "<script" not in html
        assert max(map(len, out.getvalue().splitlines())) <= 80


class Page(HTMLParser):
    """The tags of a page, which must close in order; its texts; and the addresses in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.deepest = 0
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)
        self.deepest = max(self.deepest, self.open.count("details"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_needs_nothing_else_and_holds_the_texts(tmp_path: Path) -> None:
    path, html = tmp_path / "run.jsonl", tmp_path / "run.html"
    with RunLog(path, content=True) as log, observe(log):
        react_loop_sync(MockProvider(["<b>R&D</b>"]), "<script>alert('1')</script>\x07", [])
        consensus_sync(MockProvider(["x"]), "the same question", num_samples=2, max_concurrency=1)
    assert main(["show", str(path), "--html", str(html)]) == 0
    assert html.stat().st_mode & 0o777 == 0o600
    text = html.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    # The second call links to the conversation of the first.
    assert [address[:2] for address in page.addresses] == ["#s"]
    assert page.texts.count("the same question") == 1
    assert "<script>alert('1')</script>\ufffd" in page.texts
    assert "<b>R&D</b>" in page.texts
    assert "default-src 'none'" in text


def test_a_log_that_is_deeper_or_longer_than_any_run(show: Show, tmp_path: Path) -> None:
    data = [line("run", "0", name="n")]
    data += [line("run", str(n), parent=str(n - 1), name="漢字" * 20) for n in range(1, 400)]
    data += [line("call", "x", parent="x"), line("call_end", "x", usage={}), line("retry", "y")]
    status, out, _ = show(b"".join(data))
    assert status == 0
    assert max(sum(2 if char in "漢字" else 1 for char in row) for row in out.splitlines()) <= 80
    html = tmp_path / "page.html"
    assert show(b"".join(data), "--html", str(html))[0] == 0
    assert Page(html.read_text(encoding="utf-8")).deepest < 70


def test_of_ten_thousand_rows_the_first_are_shown_and_those_that_failed(show: Show) -> None:
    usage = {"input_tokens": 0, "output_tokens": 7, "llm_calls": 50_000}
    data = [line("run", "job", name="run_many")]
    for n in range(1_000):
        error = {"error": {"type": "ValueError"}} if n == 900 else {}
        data += [line("run", str(n), name="row", parent="job"), line("run_end", str(n), usage=usage, **error)]
    data += [line("run_end", "job", seconds=1, usage=usage)]
    status, out, _ = show(b"".join(data))
    assert status == 0
    assert len(out.splitlines()) < 120
    assert "101 of 1,000 inside are shown" in out
    assert "failed: ValueError" in out
    assert " 50,000 " in out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_page_that_can_not_be_written(show: Show) -> None:
    status, _, errors = show(WHOLE[0] + WHOLE[1], "--html", "/dev/full")
    assert status == 1
    assert "No space left on device" in errors
